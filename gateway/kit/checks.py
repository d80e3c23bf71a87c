"""The twenty checks, in their order, and how they are run."""

import asyncio
import inspect
import threading
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from connectors.errors import BadPayload, Inexpressible
from gateway.kit import (
    check_files,
    check_mutants,
    check_pure,
    check_reading,
    check_saying,
    check_sending,
    check_spec,
    check_trust,
    check_wire,
)
from gateway.kit.bench import Bench
from gateway.kit.findings import Findings, Problem, State, crash_of
from gateway.kit.folder import BadFolder


@dataclass(frozen=True, slots=True)
class Check:
    """One of them."""

    id: str
    #: What it proves when it is passed.
    proves: str
    run: Callable[[Bench, Findings], Awaitable[None] | None]


CHECKS: Final = (
    Check("C01", "the connector is complete, its secrets are marked, its limits are there", check_spec.complete),
    Check("C02", "only the provider's requests are genuine", check_trust.genuine),
    Check("C03", "parse takes anything: events or BadPayload, and quickly", check_reading.total),
    Check("C04", "the pure functions use no clock, no chance, no network, and change nothing", check_pure.pure),
    Check("C05", "keys are there, each for one thing, the same when it is delivered again", check_reading.keys),
    Check("C06", "a batch gives what its entries give, each for its own account", check_reading.batches),
    Check("C07", "each recorded request gives its events, also with unknown fields", check_reading.golden),
    Check("C08", "nothing that is accepted vanishes, whatever its kind", check_reading.unknown),
    Check("C09", "texts of any length arrive whole and within the limit", check_saying.texts),
    Check("C10", "every part is sent or refused in words; messages give their calls", check_saying.parts),
    Check("C11", "every answer has its outcome, and none is sent without an id", check_saying.outcomes),
    Check("C12", "no secret is in calls, events, outcomes, errors, logs", check_wire.discreet_at_work),
    Check("C13", "statuses end the same in every order", check_sending.statuses),
    Check("C14", "at our pace the provider never refuses; after a refusal we wait", check_sending.paced),
    Check("C15", "after a failure and a restart exactly the unsent parts are sent", check_sending.resumed),
    Check("C16", "files are fetched in bounds, never from inside, without taking credentials along", check_files.files),
    Check("C17", "the handshake answers the right question only", check_trust.answers),
    Check("C18", "our own messages come back as nobody's", check_reading.loops),
    Check("C19", "opening leaves nothing behind; a call that is cut off ends as unknown", check_wire.lives),
    Check("C20", "the cases notice changes of the connector's code", check_mutants.noticed),
)


@dataclass(frozen=True, slots=True)
class Result:
    """How one check ended."""

    check: Check
    findings: Findings

    @property
    def state(self) -> State:
        return self.findings.state


def run_checks(bench: Bench, only: Sequence[str] = ()) -> Iterator[Result]:
    """One after another, or only some. Raises :class:`BadFolder` for an id that there is not."""
    known = {check.id: check for check in CHECKS}
    for id_ in only:
        if id_.upper() not in known:
            raise BadFolder(f"there is no check {id_!r}; there are C01 to {CHECKS[-1].id}")
    wanted = {id_.upper() for id_ in only} or set(known)
    for check in CHECKS:
        if check.id in wanted:
            yield run_check(bench, check)


def run_check(bench: Bench, check: Check) -> Result:
    """One of them, in a thread of its own: there it may have an event loop, and watch what is called."""
    findings = Findings()
    thread = threading.Thread(target=_run, args=(bench, check, findings), name=f"kit {check.id}")
    thread.start()
    thread.join()
    return Result(check, findings)


def _run(bench: Bench, check: Check, findings: Findings) -> None:
    try:
        if inspect.iscoroutinefunction(check.run):
            asyncio.run(check.run(bench, findings))
        else:
            check.run(bench, findings)
    except BadFolder as error:
        findings.problems.append(Problem(str(error), "Correct it.", "cases"))
    except (BadPayload, Inexpressible) as error:
        findings.problems.append(
            Problem(f"{type(error).__name__}: {error}", "A case that should pass is refused: see C07 and C10.", "cases")
        )
    except BaseException as error:  # noqa: BLE001  whatever the connector raises is the finding
        findings.problems.append(crash_of(error))
