"""A channel's log as cases for the conformance kit: what really happened, to be replayed against the connector."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec
from msgspec import Struct

from config.secret import MASK
from storage.interaction import Interaction, InteractionKind, Wire
from storage.protocol import WHOLE, Transaction

_QUARANTINED: Final = ["payload.quarantined"]
#: Headers of a recorded request that say how to read its body; the kit signs it anew.
_KEPT: Final = frozenset({"content-type"})


class CaseMade(Struct, frozen=True, kw_only=True):
    """A case, or why there is none."""

    id: str
    case: dict[str, Any] | None = None
    why: str = ""


class Unfit(Exception):
    """No case can be made of it; the message says why."""


async def make_cases(tx: Transaction, channel: str, ids: Sequence[str]) -> list[CaseMade]:
    """Of each of these interactions."""
    made = []
    for id_ in ids:
        interaction = await tx.channel_log.get(channel, id_)
        if interaction is None:
            made.append(CaseMade(id=id_, why="it is no longer in the log"))
            continue
        events = [recorded.entry.data for pos in interaction.positions for recorded in await tx.stream.read(WHOLE, pos - 1, 1)]
        try:
            made.append(CaseMade(id=id_, case=case_of(interaction, events)))
        except Unfit as why:
            made.append(CaseMade(id=id_, why=str(why)))
    return made


async def refs_of(tx: Transaction, channel: str, message_id: str) -> tuple[str, ...] | None:
    """The ids by which a channel's log knows a message, ours and the provider's; None if none is asked for."""
    if not message_id:
        return None
    return (message_id, *await tx.messages.provider_ids(channel, message_id))


def case_of(interaction: Interaction, events: Sequence[bytes]) -> dict[str, Any]:
    """The case, as its file has it; ``events`` are those of its positions, as they lie in the stream. Raises :class:`Unfit`."""
    match interaction.kind:
        case InteractionKind.WEBHOOK | InteractionKind.FETCH:
            return _inbound(interaction, [msgspec.json.decode(event) for event in events])
        case InteractionKind.SEND:
            return _reply(interaction)
        case _:
            raise Unfit("the kit has no cases of its kind")


def _inbound(interaction: Interaction, events: list[dict[str, Any]]) -> dict[str, Any]:
    if interaction.request is None or interaction.result == "refused":
        raise Unfit("it was refused")
    wire = interaction.request
    headers = {name: value for name, value in wire.headers.items() if name in _KEPT}
    request = {"method": wire.method, "url": wire.url, "headers": headers, "received_at": interaction.at, **_body(wire)}
    case = {"case": "inbound", "name": interaction.id, "request": request}
    if list(interaction.events) == _QUARANTINED:
        return {**case, "bad": interaction.detail}
    if not events:
        raise Unfit("its events are elsewhere in the stream: the same had come before, or they waited in a spool")
    return {**case, "events": events}


def _reply(interaction: Interaction) -> dict[str, Any]:
    if interaction.reply is None:
        raise Unfit("there is no answer")
    if interaction.ok:
        outcome: dict[str, Any] = {"type": "sent", "provider_id": next(iter(interaction.refs), "")}
    else:
        said = {name: getattr(interaction, name) for name in ("code", "detail", "retry_after", "moved_to")}
        outcome = {"type": "failure", "kind": interaction.result, **{name: value for name, value in said.items() if value}}
    reply = {"status": interaction.reply.status, **_body(interaction.reply)}
    if interaction.reply.headers:
        reply["headers"] = interaction.reply.headers
    if not interaction.written:
        reply["written"] = False
    return {"case": "reply", "name": interaction.id, "reply": reply, "outcome": outcome, **_call(interaction.request)}


def _call(wire: Wire | None) -> dict[str, Any]:
    """What the answer may depend on; without a body that is no JSON."""
    if wire is None:
        return {}
    call: dict[str, Any] = {"method": wire.method, "url": wire.url}
    try:
        call["json"] = msgspec.json.decode(wire.body)
    except msgspec.DecodeError:
        return {"call": call}
    return {"call": call}


def _body(wire: Wire) -> dict[str, Any]:
    if MASK in wire.body:
        raise Unfit("something in its body was redacted")
    if len(wire.body.encode()) != wire.size:
        raise Unfit("its body was trimmed, is no text, or is not kept")
    return {"text": wire.body} if wire.body else {}
