"""``outbox``: is anything sent, and if not, why?"""

import re
from typing import Annotated, Any, Final

from cyclopts import App, Parameter

from gateway.cli.common import STANDARD, Common, UserError, perform, say, show_table

_SPAN: Final = re.compile(r"(\d{1,6})([smhd])")
_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def register(app: App) -> None:
    """Add these commands."""
    outbox = App(name="outbox", help="Sending of replies: status, hold, release.")
    outbox.command(status)
    outbox.command(hold)
    outbox.command(release)
    app.command(outbox)


async def status(*, common: Common = STANDARD) -> None:
    """Say whether replies are sent, and what waits."""
    _show(await perform(common.load(), "outbox.status"))


async def hold(
    *,
    why: Annotated[str, Parameter(name="--why", help="What colleagues should read about it.")] = "an operator stopped it",
    common: Common = STANDARD,
) -> None:
    """Send nothing more, on no node, until it is released.

    Replies are accepted and wait, and do not expire meanwhile; what shoppers write comes in as always. Say this before you start a
    gateway on a database that was brought back by other means than "sportello restore", for example a copied file.
    """
    if not why.strip():
        raise UserError("--why needs some words")
    _show(await perform(common.load(), "outbox.hold", why=why.strip()))


async def release(
    *,
    drop_older_than: Annotated[
        str | None,
        Parameter(name="--drop-older-than", help="Give up replies accepted longer ago than this: 90s, 30m, 2h, 3d."),
    ] = None,
    drop_all: Annotated[bool, Parameter(name="--drop-all", negative="", help="Give up all replies that wait.")] = False,
    common: Common = STANDARD,
) -> None:
    """Send again, within a second, on all nodes; no restart is needed.

    Replies that you give up become "expired", which their agents see; nothing is sent before that is done. After a restore, replies
    accepted before the backup may have been sent after it: to be sure that nobody gets one twice, give up those that are older than
    the time from the backup until now. Replies whose life (routing.reply_life) ended during the hold expire by themselves.
    """
    if drop_all and drop_older_than is not None:
        raise UserError("say --drop-all or --drop-older-than, not both")
    # Negative: another node's clock may be a little ahead.
    seconds = -86_400.0 if drop_all else None if drop_older_than is None else _seconds(drop_older_than)
    done = await perform(common.load(), "outbox.release", drop_seconds=seconds)
    if done["dropped"]:
        say(f"{done['dropped']} replies were given up; their agents see them as expired.")
    waiting = sum(done["waiting"].values())
    say(f"Sending is released; {waiting} replies wait for their turn." if waiting else "Sending is released; nothing waits.")


def _show(report: dict[str, Any]) -> None:
    say(f"Sending is held: {report['why']}." if report["why"] else "Replies are sent.")
    if not report["waiting"]:
        say("No reply waits.")
        return
    show_table(["CHANNEL", "WAITING"], [[channel, str(number)] for channel, number in sorted(report["waiting"].items())])
    say(f"The oldest was accepted at {report['oldest'][:16].replace('T', ' ')} UTC.")
    if report["past_life"]:
        say(f"{report['past_life']} are past their life: they expire when sending is released.")


def _seconds(text: str) -> float:
    found = _SPAN.fullmatch(text.strip().lower())
    if found is None:
        raise UserError(f"{text!r} is no time: write a whole number and s, m, h or d, for example 2h")
    return float(int(found[1]) * _SECONDS[found[2]])
