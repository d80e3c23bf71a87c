"""Which connectors there are. Nothing is imported before a channel uses it: an SDK costs tens of megabytes."""

from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from types import MappingProxyType
from typing import Any, Final

from connectors.contract import Connector
from connectors.errors import ConnectorError, UnknownConnector

#: Entry-point group by which a package of somebody else adds a connector.
GROUP: Final = "sportello.connectors"

#: Kind -> ``module:attribute`` of what comes with us.
BUILT_IN: Final = MappingProxyType(
    {
        "email": "connectors.email:CONNECTOR",
        "instagram": "connectors.instagram:CONNECTOR",
        "messenger": "connectors.messenger:CONNECTOR",
        "sms": "connectors.sms:CONNECTOR",
        "telegram": "connectors.telegram:CONNECTOR",
        "webchat": "connectors.webchat:CONNECTOR",
        "whatsapp": "connectors.whatsapp:CONNECTOR",
        "whatsapp_twilio": "connectors.whatsapp_twilio:CONNECTOR",
    }
)


def kinds() -> tuple[str, ...]:
    """The kinds that can be loaded, sorted. Imports none of them."""
    return tuple(sorted({*BUILT_IN, *(point.name for point in entry_points(group=GROUP))}))


def load_connector(kind: str) -> Connector[Any]:
    """The connector of that kind. What comes with us wins over a stranger of the same name.

    Raises :class:`UnknownConnector`, whose message lists what there is; :class:`ConnectorError` if a stranger's package is not one.
    """
    if kind in BUILT_IN:
        module, _, attribute = BUILT_IN[kind].partition(":")
        found = getattr(import_module(module), attribute)
    else:
        found = _entry_point(kind).load()
    if not isinstance(found, Connector):
        raise ConnectorError(
            f"the package that offers connector {kind!r} gives a {type(found).__name__}, not a connectors.contract.Connector"
        )
    if found.kind != kind:
        raise ConnectorError(f"the connector offered as {kind!r} calls itself {found.kind!r}")
    return found


def _entry_point(kind: str) -> EntryPoint:
    for point in entry_points(group=GROUP):
        if point.name == kind:
            return point
    raise UnknownConnector(f"there is no connector {kind!r}; installed: {', '.join(kinds())}")
