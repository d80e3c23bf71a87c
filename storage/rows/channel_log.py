"""A channel's log and its health as rows."""

from collections.abc import Sequence
from typing import Final

import msgspec

from storage.codec import Row, Value, encode, marks, micros
from storage.interaction import Health, Interaction, LogFilter

#: The columns of an interaction; ``data`` holds all of it.
INTERACTION: Final = ("channel", "id", "at", "kind", "ok", "data")
LINK: Final = ("channel", "ref", "log_id")
#: Of a batch webhook only so many messages are linked.
MOST_LINKS: Final = 200
#: Ids of providers may be long; beyond this nobody looks for them.
_LONGEST_REF: Final = 512

_decode: Final = msgspec.json.Decoder(Interaction).decode
_decode_health: Final = msgspec.json.Decoder(Health).decode


def interaction_row(interaction: Interaction) -> Row:
    """Its values for the columns ``INTERACTION``."""
    return (interaction.channel, interaction.id, micros(interaction.at), interaction.kind.value, interaction.ok, encode(interaction))


def interaction_of(row: Row) -> Interaction:
    """From the column ``data``."""
    return _decode(row[0])


def link_rows(interaction: Interaction) -> list[Row]:
    """Values for the columns ``LINK``."""
    refs = dict.fromkeys(ref for ref in (interaction.message_id, *interaction.refs) if 0 < len(ref) <= _LONGEST_REF)
    return [(interaction.channel, ref, interaction.id) for ref in list(refs)[:MOST_LINKS]]


def health_of(row: Row) -> Health:
    """From the column ``data`` of a health."""
    return _decode_health(row[0])


def page_query(channel: str, wanted: LogFilter, before: str, limit: int) -> tuple[str, Sequence[Value]]:
    """The statement for ``ChannelLog.page``, and its values."""
    where, values = ["channel = ?"], [channel]
    if before:
        where.append("id < ?")
        values.append(before)
    if wanted.kind is not None:
        where.append("kind = ?")
        values.append(wanted.kind.value)
    if wanted.ok is not None:
        where.append("ok" if wanted.ok else "NOT ok")
    if wanted.refs is not None:
        refs = marks(wanted.refs) or "NULL"
        where.append(f"id IN (SELECT log_id FROM channel_log_link WHERE channel = ? AND ref IN ({refs}))")  # noqa: S608 - question marks
        values += [channel, *wanted.refs]
    # The conditions are ours, every value is bound.
    return f"SELECT data FROM channel_log WHERE {' AND '.join(where)} ORDER BY id DESC LIMIT ?", (*values, limit)  # noqa: S608
