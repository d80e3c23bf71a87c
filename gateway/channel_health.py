"""How well a channel is, as far as what it exchanged with its provider lately tells. Pure.

Each component is judged by its own evidence, newest first: what went well ends the search, a refusal of our credentials or account
decides at once, and a trouble that may pass by itself counts until there were several in a row. Without evidence all stays as it was.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from enum import Enum, auto
from typing import Final, NamedTuple

from connectors.abilities import Component
from connectors.errors import FailureKind
from storage.interaction import ComponentHealth, Health, HealthState, Interaction, InteractionKind

#: Troubles in a row that make a component degraded, and down.
DEGRADED_AFTER: Final = 3
DOWN_AFTER: Final = 10
#: What a provider says about our account counts so long, unless it takes it back.
ACCOUNT_COUNTS: Final = timedelta(hours=24)
#: As many of each kind are looked at; more than ``DOWN_AFTER``.
LOOK_AT: Final = 20
_WHY_CHARS: Final = 300

#: The message or its recipient was refused, by a provider that is well and knows us.
_ANSWERS: Final = frozenset({FailureKind.INVALID, FailureKind.RECIPIENT, FailureKind.OPTED_OUT, FailureKind.WINDOW, FailureKind.MOVED})
#: An operator has to act.
_REFUSALS: Final = frozenset({FailureKind.AUTH, FailureKind.ACCOUNT, FailureKind.CONFIG})


class Verdict(Enum):
    """What one interaction says of one component."""

    GOOD = auto()
    #: It may pass by itself.
    TROUBLE = auto()
    #: It does not work as it should, and will not by itself.
    LAME = auto()
    #: It cannot work until somebody acts.
    BROKEN = auto()


class Evidence(NamedTuple):
    """One interaction's word on one component."""

    component: Component
    verdict: Verdict
    why: str = ""


def judge(before: Health, interactions: Iterable[Interaction], now: datetime) -> Health:
    """The health of a channel after ``interactions`` (in any order); ``since`` and ``why`` stay for as long as the state does."""
    ordered = sorted(interactions, key=lambda one: (one.at, one.id), reverse=True)
    found: dict[Component, list[Evidence]] = {component: [] for component in Component}
    for interaction in ordered:
        for one in evidence_of(interaction, now):
            found[one.component].append(one)
    after: Health = {}
    for component, evidence in found.items():
        old = before.get(component) or ComponentHealth(since=now)
        state, why = _weigh(evidence, old)
        after[component] = old if state is old.state else ComponentHealth(state=state, since=now, why=why[:_WHY_CHARS])
    return after


def changed(before: Health, after: Health) -> list[Component]:
    """Components whose state is another one; the first word on one that is well is no news."""
    return [
        component
        for component, new in after.items()
        if new.state is not _state(before, component) and (_state(before, component), new.state) != (HealthState.UNKNOWN, HealthState.OK)
    ]


def worst(health: Mapping[Component, ComponentHealth]) -> HealthState:
    """The worst of all components."""
    order = (HealthState.DOWN, HealthState.DEGRADED, HealthState.OK)
    states = {one.state for one in health.values()}
    return next((state for state in order if state in states), HealthState.UNKNOWN)


def _state(health: Health, component: Component) -> HealthState:
    known = health.get(component)
    return HealthState.UNKNOWN if known is None else known.state


def _weigh(evidence: Sequence[Evidence], old: ComponentHealth) -> tuple[HealthState, str]:
    """State and reason from evidence, newest first."""
    troubles: list[str] = []
    for one in evidence:
        match one.verdict:
            case Verdict.BROKEN:
                return HealthState.DOWN, one.why
            case Verdict.LAME:
                return (HealthState.DOWN if len(troubles) >= DOWN_AFTER else HealthState.DEGRADED), one.why
            case Verdict.TROUBLE:
                troubles.append(one.why)
            case Verdict.GOOD:
                return _by_troubles(troubles)
    # Nothing good is remembered: a few troubles change nothing, for better or worse.
    state, why = _by_troubles(troubles)
    if state is HealthState.OK or (state is HealthState.DEGRADED and old.state is HealthState.DOWN):
        return old.state, old.why
    return state, why


def _by_troubles(troubles: Sequence[str]) -> tuple[HealthState, str]:
    if len(troubles) >= DOWN_AFTER:
        return HealthState.DOWN, troubles[0]
    return (HealthState.DEGRADED, troubles[0]) if len(troubles) >= DEGRADED_AFTER else (HealthState.OK, "")


# --- what an interaction tells -------------------------------------------------------------------------------------------


def evidence_of(interaction: Interaction, now: datetime) -> list[Evidence]:
    """What it says of which components."""
    why = _words(interaction)
    match interaction.kind:
        case InteractionKind.WEBHOOK:
            return _of_webhook(interaction, why)
        case InteractionKind.FETCH | InteractionKind.RECEIVER | InteractionKind.TOKEN:
            return _of_connection(interaction, why)
        case InteractionKind.SEND:
            return _of_sending(interaction, why)
        case InteractionKind.BREAKER:
            return [Evidence(Component.OUTBOUND, Verdict.GOOD if interaction.ok else Verdict.LAME, why)]
        case InteractionKind.PROBE:
            return _of_probe(interaction, why)
        case InteractionKind.ACCOUNT:
            return _of_account(interaction, why, now)
        case _:
            # A file that is gone says nothing of the channel; and see TELLING.
            return []


def _of_webhook(interaction: Interaction, why: str) -> list[Evidence]:
    if interaction.ok:
        return [Evidence(Component.INBOUND, Verdict.GOOD), Evidence(Component.WEBHOOK, Verdict.GOOD)]
    if interaction.result == "refused":
        # Anybody can post nonsense; only many of them without a good one between them are a wrong secret.
        return [Evidence(Component.WEBHOOK, Verdict.TROUBLE, f"webhooks are refused: {why or 'their signature is not right'}")]
    return [Evidence(Component.WEBHOOK, Verdict.GOOD), Evidence(Component.INBOUND, Verdict.TROUBLE, why)]


def _of_connection(interaction: Interaction, why: str) -> list[Evidence]:
    renewal = interaction.kind is InteractionKind.TOKEN
    if interaction.ok:
        components = (Component.AUTH,) if renewal else (Component.INBOUND, Component.AUTH)
        return [Evidence(component, Verdict.GOOD) for component in components]
    if interaction.result == FailureKind.AUTH:
        return [Evidence(Component.AUTH, Verdict.BROKEN, why), Evidence(Component.INBOUND, Verdict.BROKEN, why)]
    return [Evidence(Component.AUTH if renewal else Component.INBOUND, Verdict.TROUBLE, why)]


def _of_sending(interaction: Interaction, why: str) -> list[Evidence]:
    if interaction.ok or interaction.result in _ANSWERS:
        return [Evidence(Component.OUTBOUND, Verdict.GOOD), Evidence(Component.AUTH, Verdict.GOOD)]
    if interaction.result in _REFUSALS:
        outbound = Evidence(Component.OUTBOUND, Verdict.BROKEN, why)
        return [outbound, Evidence(Component.AUTH, Verdict.BROKEN, why)] if interaction.result == FailureKind.AUTH else [outbound]
    return [Evidence(Component.OUTBOUND, Verdict.TROUBLE, why)]


def _of_probe(interaction: Interaction, why: str) -> list[Evidence]:
    if not interaction.findings:
        return [] if interaction.ok else [Evidence(Component.OUTBOUND, Verdict.TROUBLE, why)]
    told: dict[Component, Evidence] = {}
    for finding in interaction.findings:
        words = f"{finding.detail}. {finding.remedy}".strip(" .")
        if finding.component not in told or not finding.ok:
            told[finding.component] = Evidence(finding.component, Verdict.GOOD if finding.ok else Verdict.BROKEN, words)
    return list(told.values())


def _of_account(interaction: Interaction, why: str, now: datetime) -> list[Evidence]:
    if interaction.ok or now - interaction.at > ACCOUNT_COUNTS:
        return []
    return [Evidence(Component.OUTBOUND, Verdict.LAME, f"the provider says: {why}")]


def _words(interaction: Interaction) -> str:
    said = ": ".join(part for part in (interaction.code, interaction.detail) if part)
    return said or (f"status {interaction.status}" if interaction.status else interaction.result)
