"""Who may see what: the one access predicate, as SQL. It agrees with ``Scope.admits``, by test."""

from typing import Final

from storage.access import EVERY_QUEUE, Scope
from storage.postgres.connection import Value

_IDENTITY: Final = "c.scheme || ':' || c.scope || ':' || c.value"


def scope_sql(scope: Scope) -> tuple[str, list[Value]]:
    """A condition on a conversation ``c``, with its values."""
    if scope.identity:
        return f"{_IDENTITY} = ?", [scope.identity]
    if scope.everything:
        return "TRUE", []
    queues = sorted(scope.queues | {EVERY_QUEUE} if scope.agent else scope.queues)
    if not queues:
        return "FALSE", []
    return "c.queue_id = ANY(?)", [queues]


def history_sql(scope: Scope) -> tuple[str, list[Value]]:
    """A condition on a message ``m`` of a conversation ``c``: a shopper never sees notes, nor what the system says to agents."""
    condition, values = scope_sql(scope)
    if scope.identity:
        return f"{condition} AND m.kind IN ('inbound', 'outbound')", values
    return condition, values
