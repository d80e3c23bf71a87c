"""Databases of PostgreSQL for one test after the other: emptying a used one is much cheaper than making another."""

from typing import Any, Final

import asyncpg

from tests.support.secret_stores import TABLES, search_tables

#: Changes when a test has changed more than rows.
_FINGERPRINT: Final = """
    SELECT md5(concat(
      (SELECT string_agg(concat_ws(' ', c.relname, c.relkind, c.reloptions), ';' ORDER BY c.relname)
         FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace),
      (SELECT string_agg(concat_ws(' ', c.relname, a.attname, a.attnum, a.atttypid, a.attnotnull, a.attisdropped), ';'
                         ORDER BY c.relname, a.attnum)
         FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid WHERE c.relnamespace = 'public'::regnamespace AND a.attnum > 0),
      (SELECT string_agg(concat_ws(' ', conname, pg_get_constraintdef(oid)), ';' ORDER BY conname)
         FROM pg_constraint WHERE connamespace = 'public'::regnamespace),
      (SELECT string_agg(concat_ws(' ', tgrelid::regclass, tgname, tgenabled), ';' ORDER BY tgrelid, tgname)
         FROM pg_trigger WHERE NOT tgisinternal),
      (SELECT string_agg(concat_ws(' ', proname, md5(prosrc)), ';' ORDER BY proname) FROM pg_proc WHERE pronamespace = 'public'::regnamespace),
      (SELECT string_agg(nspname, ';' ORDER BY nspname) FROM pg_namespace WHERE nspname NOT LIKE 'pg\\_temp%' AND nspname NOT LIKE 'pg\\_toast\\_temp%'),
      (SELECT string_agg(extname, ';' ORDER BY extname) FROM pg_extension),
      (SELECT string_agg(setconfig::text, ';' ORDER BY setrole) FROM pg_db_role_setting s JOIN pg_database d ON d.oid = s.setdatabase
         WHERE d.datname = current_database())
    ))
"""  # noqa: E501  one part a line
_OTHERS: Final = (
    "SELECT pg_terminate_backend(pid, 2000) FROM pg_stat_activity WHERE datname = current_database() AND pid != pg_backend_pid()"
)
_COUNTERS: Final = (
    "SELECT setval(format('%I.%I', schemaname, sequencename), start_value, false) FROM pg_sequences WHERE last_value IS NOT NULL"
)


class Cleaner:
    """Knows how a database looks that nobody has used."""

    def __init__(self) -> None:
        self._fingerprint = ""
        self._tables: list[str] = []
        #: The rows of each table that has some, as JSON.
        self._seed: dict[str, str] = {}

    async def learn(self, url: str) -> None:
        """From the template. ``url`` is the driver's."""
        connection = await asyncpg.connect(url)
        try:
            self._fingerprint = await connection.fetchval(_FINGERPRINT)
            self._tables = [row[0] for row in await connection.fetch(TABLES)]
            for table in self._tables:
                rows = await connection.fetchval(f'SELECT json_agg(t)::text FROM "{table}" t')  # noqa: S608  # our own name
                if rows is not None:
                    self._seed[table] = rows
        finally:
            await connection.close()

    async def clean(self, url: str, log: str) -> bool:
        """Make it as new, with the ``log`` of a name of its own; False if that cannot be done by removing rows."""
        connection = await asyncpg.connect(url, timeout=10)
        try:
            await connection.execute(_OTHERS)
            if await connection.fetchval(_FINGERPRINT) != self._fingerprint:
                return False
            await self._empty(connection)
            for table, rows in self._seed.items():
                fill = (
                    f'INSERT INTO "{table}" OVERRIDING SYSTEM VALUE SELECT * FROM json_populate_recordset(NULL::"{table}", $1::text::json)'  # noqa: S608
                )
                await connection.execute(fill, rows)
            await connection.execute("UPDATE setting SET value = $1 WHERE name = 'log'", log)
        finally:
            await connection.close()
        return True

    async def _empty(self, connection: Any) -> None:
        looks = " UNION ALL ".join(f"SELECT '{table}' WHERE EXISTS (SELECT 1 FROM \"{table}\")" for table in self._tables)  # noqa: S608
        used = [row[0] for row in await connection.fetch(looks)]
        if used:
            await search_tables(connection, used)
            await connection.execute("TRUNCATE " + ", ".join(used) + " CASCADE")
        await connection.execute(_COUNTERS)
