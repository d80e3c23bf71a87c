"""Pigeon: letters of at most 500 characters between lofts. The whole connector; the API is described in README.md."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, Struct

from config import Secret
from connectors.capabilities import Capabilities, Limits
from connectors.compose import compose
from connectors.content import AnyPart, Location, Text, Unsupported
from connectors.contract import Call, Connector, Outbound, Outcome, Reply, Request, Sent
from connectors.errors import BadPayload, FailureKind
from connectors.event import AnyEvent, ConsentChanged, MessageEchoed, MessageReceived, PayloadIgnored, Sender, Status, StatusReported
from connectors.http import HttpClient
from connectors.identity import Identity
from connectors.retry import default_failure
from connectors.signature import hmac_matches, same

# fmt: off
CAPABILITIES: Final = Capabilities(
    limits=Limits(text=500, rate=20.0, bucket_rate=2.0), delivered=True, read=True, redelivers=True,
    sends=frozenset({"text"}), receives=frozenset({"text", "location", "unsupported"}),
)
_STATUS: Final = {"landed": Status.DELIVERED, "opened": Status.READ, "lost": Status.FAILED}
_FAILURE: Final = {
    "loft_unknown": FailureKind.RECIPIENT, "loft_closed": FailureKind.OPTED_OUT, "key_refused": FailureKind.AUTH,
    "unpaid": FailureKind.ACCOUNT, "storm": FailureKind.TRANSIENT,
}
# fmt: on
_NUL: Final = re.compile(rb"(?<!\\)((?:\\\\)*)\\u0000")


class Settings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of a loft."""

    loft: Annotated[str, Meta(title="Our loft")]
    key: Annotated[Secret, Meta(title="API key")]
    webhook_secret: Annotated[Secret, Meta(title="Webhook secret")]
    api_base: Annotated[str, Meta(title="Address of the API")] = "https://api.pigeon.example"


class _Entry(Struct):
    id: Annotated[str, Meta(min_length=1, max_length=400)]
    type: str
    loft: str = ""
    at: Annotated[int, Meta(ge=0, le=2**32)] = 0
    who: str = ""
    name: str = ""
    text: str = ""
    place: tuple[float, float] | None = None
    ref: str = ""
    letter: str = ""
    why: str = ""


class _Webhook(Struct):
    entries: Annotated[tuple[_Entry, ...], Meta(min_length=1)]


class _Answer(Struct):
    id: str = ""
    error: str = ""
    words: str = ""


def verify(request: Request, settings: Settings) -> bool:
    signature = request.headers.get("x-pigeon-signature", "")
    return hmac_matches("sha256", (settings.webhook_secret,), request.body, signature, prefix="sha256=")


def handshake(request: Request, settings: Settings) -> bytes | None:
    token, challenge = (request.query.get(name, "") for name in ("token", "challenge"))
    return challenge.encode() if same(settings.webhook_secret.reveal(), token) else None


def parse(request: Request, settings: Settings) -> Sequence[AnyEvent]:  # noqa: ARG001
    try:
        return [_event(entry) for entry in msgspec.json.decode(_NUL.sub(rb"\1\\ufffd", request.body), type=_Webhook).entries]
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BadPayload(f"not a webhook of Pigeon's: {error}") from None


def _event(entry: _Entry) -> AnyEvent:
    common: dict[str, Any] = {"key": f"{entry.type[:99]}:{entry.id}", "at": datetime.fromtimestamp(entry.at, UTC), "account": entry.loft}
    person = common | {"sender": Sender(identity=Identity("pigeon", "", entry.who), name=entry.name)}
    match entry.type:
        case "letter":
            return MessageReceived(**person, message_id=entry.id, parts=(_part(entry),))
        case "sent":
            return MessageEchoed(**person, message_id=entry.id, parts=(_part(entry),), ours=entry.ref)
        case "shut" | "opened_again":
            return ConsentChanged(**person, opted_in=entry.type == "opened_again")
        case kind if status := _STATUS.get(kind):
            return StatusReported(**common, message_id=entry.letter, status=status, code=entry.why)
        case kind:
            return PayloadIgnored(**common, why=f"an entry of type {kind[:99]}")


def _part(entry: _Entry) -> AnyPart:
    if entry.place is not None:
        return Location(latitude=entry.place[0], longitude=entry.place[1])
    return Text(text=entry.text) if entry.text else Unsupported(kind="empty letter")


def render(message: Outbound, settings: Settings) -> Sequence[Call]:
    base, url = {"to": message.to, "ref": message.id, "answers": message.reply_to}, f"{settings.api_base}/v1/letters"
    texts = [part.text for parts in compose(message.parts, CAPABILITIES).messages for part in parts if isinstance(part, Text)]
    return [Call(method="POST", url=url, json={**base, "text": text}, part=part, bucket=message.to) for part, text in enumerate(texts)]


def read_reply(call: Call, reply: Reply, settings: Settings) -> Outcome:  # noqa: ARG001
    try:
        answer = msgspec.json.decode(reply.body, type=_Answer)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        answer = _Answer()
    if reply.status == 201 and answer.id:
        return Sent(answer.id)
    failure, known = default_failure(reply), _FAILURE.get(answer.error)
    return msgspec.structs.replace(failure, kind=known, code=answer.error, detail=answer.words) if known else failure


# fmt: off
CONNECTOR: Final = Connector(
    kind="pigeon", settings=Settings, capabilities=CAPABILITIES, verify=verify, parse=parse, render=render, read_reply=read_reply,
    client=lambda settings, context: HttpClient(context, lambda _: {"authorization": f"Bearer {settings.key.reveal()}"}),
    account=lambda settings: settings.loft, handshake=handshake, sources=("README.md of this package, November 2026",),
)
