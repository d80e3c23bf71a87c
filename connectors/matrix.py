"""The table of what each channel can carry, made from the code: ``python -m connectors.matrix`` puts it into ``README.md``."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from connectors.capabilities import Capabilities, Limits
from connectors.contract import Connector
from connectors.registry import BUILT_IN, load_connector

README: Final = Path(__file__).with_name("README.md")
BEGIN: Final = "<!-- matrix: made by python -m connectors.matrix -->"
END: Final = "<!-- end of matrix -->"

#: Part types in the order of the table.
_PARTS: Final = ("text", "media", "location", "contact", "choices", "chosen", "template", "unsupported")


def render_matrix(connectors: Sequence[Connector[Any]]) -> str:
    """A Markdown table, one column per connector."""
    head = ["", *(f"`{connector.kind}`" for connector in connectors)]
    columns = [_column(connector.capabilities) for connector in connectors]
    rows = [
        [name, *(column[name] for column in columns)]
        for name in _column(Capabilities(limits=_none(), sends=frozenset(), receives=frozenset()))
    ]
    rows.append(["a channel's settings may take some of it away", *(_yes(one.capabilities_for is not None) for one in connectors)])
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def built_in() -> list[Connector[Any]]:
    """The connectors that come with us, in the order of the registry."""
    return [load_connector(kind) for kind in BUILT_IN]


def current(text: str, table: str) -> str:
    """``text`` with ``table`` between the marks. Raises ``ValueError`` if they are not there."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    if not rest or END not in rest:
        raise ValueError(f"{README.name} must hold the lines {BEGIN!r} and {END!r}")
    return f"{before}{BEGIN}\n{table}\n{END}{after}"


def _column(able: Capabilities) -> dict[str, str]:
    limits, unit = able.limits, able.limits.unit.value
    return {
        **{f"sends {part}": _yes(part in able.sends) for part in _PARTS if part not in {"chosen", "unsupported"}},
        **{f"receives {part}": _yes(part in able.receives) for part in _PARTS if part not in {"choices", "template"}},
        "edits, deletions, reactions": ", ".join(_yes(flag) for flag in (able.edits, able.deletions, able.reactions)),
        "reports delivered, read": ", ".join(_yes(flag) for flag in (able.delivered, able.read)),
        "redelivers what we failed to take": _yes(able.redelivers),
        "the same message twice arrives once": _yes(able.idempotent),
        "longest text": _number(limits.text, unit),
        "longest caption": _number(limits.caption, unit) if limits.caption else "no captions",
        "files of one message": "all" if able.bundles else _number(max((album.most for album in limits.albums), default=1), ""),
        "most choices": _number(limits.choices, ""),
        "largest file sent, fetched": f"{_bytes(limits.upload_bytes)}, {_bytes(limits.download_bytes)}",
        "calls a second, per chat": f"{limits.rate:g}, {limits.bucket_rate:g}" if limits.rate else "no limit",
    }


def _none() -> Limits:
    return Limits(text=0)


def _yes(flag: bool) -> str:  # noqa: FBT001  a word for it
    return "yes" if flag else "no"


def _number(value: int, unit: str) -> str:
    return f"{value:,} {unit}".strip() if value else "no limit"


def _bytes(value: int) -> str:
    return f"{value / 1_000_000:g} MB" if value else "no limit"


if __name__ == "__main__":
    README.write_text(current(README.read_text("utf-8"), render_matrix(built_in())), "utf-8")
