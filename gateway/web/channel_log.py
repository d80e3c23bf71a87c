"""What a channel and its provider said to each other lately, for those who run the place."""

from collections.abc import Sequence
from typing import Annotated

from msgspec import Meta

from gateway.channel_cases import refs_of
from gateway.web.errors import not_found
from gateway.web.route import Call, Input, Nothing
from gateway.web.shapes import Page
from storage.interaction import Interaction, InteractionKind, LogFilter
from storage.protocol import Transaction


class LogQuery(Input, frozen=True, kw_only=True):
    #: Our id of a message: what concerns it, on its way in or out, with its statuses and files.
    message: Annotated[str, Meta(max_length=128)] = ""
    kind: InteractionKind | None = None
    ok: bool | None = None
    #: From the page before.
    after: Annotated[str, Meta(pattern="^(log_[0-9a-z]{1,40})?$")] = ""
    limit: Annotated[int, Meta(ge=1, le=200)] = 50


async def read_log(call: Call[Nothing, LogQuery]) -> Page[Interaction]:
    """One page, newest first."""
    channel, query = call.path("id"), call.query

    async def work(tx: Transaction) -> tuple[Sequence[Interaction], bool, int]:
        wanted = LogFilter(refs=await refs_of(tx, channel, query.message), kind=query.kind, ok=query.ok)
        found = await tx.channel_log.page(channel, wanted, query.after, query.limit + 1)
        known = channel in call.services.channels or bool(found) or channel in await tx.channel_log.newest()
        return found, known, await tx.stream.head()

    found, known, head = await call.view(work)
    if not known:
        raise not_found()
    items = list(found[: query.limit])
    return Page(items=items, next=items[-1].id if len(found) > query.limit else None, as_of_pos=head)
