"""The processes that share the work."""

from gateway.services import Services
from gateway.web.route import Call, Nothing
from gateway.web.shapes import NodeView, Page


async def list_nodes(call: Call[Nothing, Nothing]) -> Page[NodeView]:
    """All that have been heard of within three seconds."""
    return Page(items=await node_views(call.services))


async def node_views(services: Services) -> list[NodeView]:
    """One per running process, by id. Raises StorageError."""
    duties = services.duties
    return [
        NodeView(
            id=node.id,
            roles=node.roles,
            since=node.since,
            version=node.version,
            this=node.id == duties.node.id,
            duties=duties.counts() if node.id == duties.node.id else None,
        )
        for node in await duties.present()
    ]
