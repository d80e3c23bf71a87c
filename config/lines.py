"""On which line of a TOML text each key stands: the standard parser does not tell, and an error message should."""

import re
import tomllib
from typing import Any, Final

_HEADER: Final = re.compile(r"^\s*\[{1,2}\s*(?P<name>[^\]]+?)\s*\]{1,2}\s*(#.*)?$")
_KEY: Final = re.compile(r"""^\s*(?P<name>(?:[\w-]+|"[^"]*"|'[^']*')(?:\s*\.\s*(?:[\w-]+|"[^"]*"|'[^']*'))*)\s*=(?P<value>.*)$""")
_QUOTES: Final = ('"""', "'''")


def find_lines(text: str) -> dict[tuple[str, ...], int]:
    """Key path -> line number from 1, for tables and keys of a valid TOML text. Keys of inline tables are not listed."""
    found: dict[tuple[str, ...], int] = {}
    table: tuple[str, ...] = ()
    open_quote = ""
    depth = 0
    for number, line in enumerate(text.splitlines(), start=1):
        if open_quote:
            if open_quote in line:
                open_quote = ""
            continue
        if depth > 0:
            depth += _brackets(line)
            continue
        if header := _HEADER.match(line):
            table = _parts(header["name"])
            for size in range(1, len(table) + 1):
                found.setdefault(table[:size], number)
        elif key := _KEY.match(line):
            found.setdefault((*table, *_parts(key["name"])), number)
            value = key["value"].strip()
            open_quote = next((quote for quote in _QUOTES if value.startswith(quote) and value.count(quote) % 2), "")
            depth = 0 if open_quote else _brackets(value)
    return found


def _brackets(line: str) -> int:
    """Opened minus closed square brackets, outside of strings and comments."""
    bare = re.sub(r'"(?:\\.|[^"\\])*"|\'[^\']*\'', "", line).split("#", 1)[0]
    return bare.count("[") - bare.count("]")


def _parts(name: str) -> tuple[str, ...]:
    """``channels."my.shop".token`` -> its three parts, by the real parser."""
    try:
        table: Any = tomllib.loads(f"{name} = 0")
    except tomllib.TOMLDecodeError:
        return (name,)
    parts: list[str] = []
    while isinstance(table, dict):
        ((part, table),) = table.items()
        parts.append(part)
    return tuple(parts)
