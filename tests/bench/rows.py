"""Looking into a database from outside, as a bare program would."""

import apsw

from tests.support.postgres import run_sql


async def number(database: str, sql: str) -> int:
    """The one number that ``sql`` asks for."""
    if database.startswith("sqlite://"):
        connection = apsw.Connection(database.removeprefix("sqlite://"), flags=apsw.SQLITE_OPEN_READONLY)
        try:
            return int(connection.execute(sql).get)
        finally:
            connection.close()
    return int((await run_sql(database, sql))[0][0])
