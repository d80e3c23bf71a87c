"""``channel log``: what a channel and its provider said to each other lately."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
from cyclopts import Parameter

from config import Config
from gateway.cli.common import STANDARD, Common, UserError, complain, perform, say
from storage.interaction import Interaction

FOLLOW_SECONDS: Final = 1.0
#: Looked at each time: what comes in faster is not for eyes.
_FOLLOWED: Final = 200
_MOST: Final = 1000
_PAGE: Final = 200
_TEXT_CHARS: Final = 200


@Parameter(name="*")
@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which interactions."""

    failed: Annotated[bool, Parameter(name="--failed", negative="", help="Only what went wrong.")] = False
    message: Annotated[str, Parameter(name="--message", help="Only what concerns this message (msg_…).")] = ""
    number: Annotated[int, Parameter(name=["--number", "-n"], help="The newest so many.")] = 50


#: The newest, whatever they are.
NEWEST: Final = Wanted()


async def show(
    channel: Annotated[str, Parameter(help="The channel's id: the name of its section.")],
    *,
    wanted: Wanted = NEWEST,
    follow: Annotated[bool, Parameter(name=["--follow", "-f"], negative="", help="Go on with what comes, until interrupted.")] = False,
    json: Annotated[bool, Parameter(negative="", help="Whole records, one JSON object per line.")] = False,
    as_cases: Annotated[
        Path | None, Parameter(name="--as-cases", help="Instead, write them into this folder as cases for: sportello connector test.")
    ] = None,
    common: Common = STANDARD,
) -> None:
    """Show a channel's log: webhooks, sendings, files, probes, oldest first. Credentials are not in it; what people wrote is."""
    if not 1 <= wanted.number <= _MOST:
        raise UserError(f"--number must be 1 to {_MOST}")
    config, asked = common.load(), {"channel": channel, "message": wanted.message, "failed": wanted.failed}
    found = await _newest(config, asked, wanted.number)
    if as_cases is not None:
        raw = await perform(config, "channel.cases", channel=channel, ids=[interaction.id for interaction in found])
        _write_cases(raw, as_cases)
        return
    if not found and not follow:
        complain(f"There is nothing in the log of {channel}{' that was asked for' if wanted.failed or wanted.message else ''}.")
    shown: set[str] = set()
    while True:
        for interaction in reversed(found):
            if interaction.id not in shown:
                say(msgspec.json.encode(interaction).decode() if json else line(interaction))
        if not follow:
            return
        shown |= {interaction.id for interaction in found}
        await asyncio.sleep(FOLLOW_SECONDS)
        found = await _newest(config, asked, _FOLLOWED)


def line(interaction: Interaction) -> str:
    """One interaction for people, on one line."""
    word = "ok" if interaction.ok else "FAIL"
    told = [interaction.result, f"status {interaction.status}" if interaction.status else "", interaction.code]
    told += [interaction.detail, " ".join(interaction.events), interaction.message_id]
    text = "".join(char if char.isprintable() else " " for char in ", ".join(part for part in told if part))
    began = f"{interaction.at:%Y-%m-%d %H:%M:%S}  {word:<4}  {interaction.kind.value:<8}  {interaction.ms:7.0f} ms"
    return f"{began}  {text[:_TEXT_CHARS]}"


async def _newest(config: Config, asked: dict[str, Any], number: int) -> list[Interaction]:
    """Newest first, in pages: one answer of a running gateway has a longest line."""
    found: list[Interaction] = []
    while len(found) < number:
        limit = min(_PAGE, number - len(found))
        raw = await perform(config, "channel.log", **asked, before=found[-1].id if found else "", limit=limit)
        page = msgspec.convert(raw, list[Interaction])
        found += page
        if len(page) < limit:
            break
    return found


def _write_cases(made_ones: Sequence[Mapping[str, Any]], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    reasons: dict[str, int] = {}
    written = 0
    for made in made_ones:
        if made["case"] is None:
            reasons[made["why"]] = reasons.get(made["why"], 0) + 1
            continue
        text = msgspec.json.format(msgspec.json.encode(made["case"]), indent=2).decode()
        (folder / f"{made['id']}.case.json").write_text(text + "\n", "utf-8")
        written += 1
    say(f"{written} cases written to {folder}. They hold what people wrote: look through them before you give them away.")
    for why, times in sorted(reasons.items()):
        say(f"  {times} left out: {why}")
