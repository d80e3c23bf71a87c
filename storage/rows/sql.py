"""Statements that every engine spells the same."""

from collections.abc import Sequence

from storage.codec import marks


def listed(names: Sequence[str], table: str = "") -> str:
    """Columns for a ``SELECT``, of ``table`` (or its alias) if several are read together."""
    return ", ".join(f"{table}.{name}" for name in names) if table else ", ".join(names)


def insert(table: str, names: Sequence[str]) -> str:
    """Insert one row."""
    return f"INSERT INTO {table} ({listed(names)}) VALUES ({marks(names)})"  # noqa: S608 - names of this program, never what people wrote


def upsert(table: str, names: Sequence[str], *key: str) -> str:
    """Insert one row, or replace the columns of the one that has its ``key``."""
    changes = ", ".join(f"{name} = excluded.{name}" for name in names if name not in key)
    return f"{insert(table, names)} ON CONFLICT ({', '.join(key)}) DO UPDATE SET {changes}"
