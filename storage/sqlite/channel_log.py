"""What channels and their providers said to each other lately, and how well the channels are."""

from collections.abc import Sequence
from datetime import datetime

from storage.codec import encode, micros
from storage.interaction import Health, Interaction, LogFilter
from storage.rows.channel_log import INTERACTION, LINK, health_of, interaction_of, interaction_row, link_rows, page_query
from storage.rows.sql import insert, upsert
from storage.sqlite.connection import Sql

_BOUND = "SELECT id FROM channel_log WHERE channel = ? ORDER BY id DESC LIMIT 1 OFFSET ?"


class SqliteChannelLog:
    def __init__(self, sql: Sql) -> None:
        self._sql = sql

    async def add(self, interactions: Sequence[Interaction]) -> None:
        for interaction in interactions:
            self._sql.run(insert("channel_log", INTERACTION), interaction_row(interaction))
            for row in link_rows(interaction):
                self._sql.run(insert("channel_log_link", LINK), row)

    async def get(self, channel: str, id_: str) -> Interaction | None:
        row = self._sql.row("SELECT data FROM channel_log WHERE channel = ? AND id = ?", (channel, id_))
        return None if row is None else interaction_of(row)

    async def page(self, channel: str, wanted: LogFilter, before: str, limit: int) -> list[Interaction]:
        return [interaction_of(row) for row in self._sql.rows(*page_query(channel, wanted, before, limit))]

    async def newest(self) -> dict[str, str]:
        rows = self._sql.rows("SELECT channel, max(id) FROM channel_log GROUP BY channel")
        return {row[0]: row[1] for row in rows}

    async def prune(self, keep: int, before: datetime) -> int:
        removed = 0
        for (channel,) in self._sql.rows("SELECT DISTINCT channel FROM channel_log"):
            bound = self._sql.row(_BOUND, (channel, keep))
            if bound is not None:
                removed += self._sql.run("DELETE FROM channel_log WHERE channel = ? AND id <= ?", (channel, bound[0]))
            removed += self._sql.run("DELETE FROM channel_log WHERE channel = ? AND at < ?", (channel, micros(before)))
            oldest = self._sql.row("SELECT min(id) FROM channel_log WHERE channel = ?", (channel,))
            rest = oldest[0] if oldest is not None and oldest[0] is not None else "~"
            self._sql.run("DELETE FROM channel_log_link WHERE channel = ? AND log_id < ?", (channel, rest))
        return removed

    async def health(self) -> dict[str, Health]:
        return {row[1]: health_of(row) for row in self._sql.rows("SELECT data, channel FROM channel_health")}

    async def put_health(self, channel: str, health: Health) -> None:
        self._sql.run(upsert("channel_health", ("channel", "data"), "channel"), (channel, encode(health)))
