"""Replies to visitors: nothing leaves the house. The visitor's socket reads the same stream in which the reply was accepted."""

from collections.abc import Sequence
from typing import Final

from connectors.content import Choices, Media, Text
from connectors.contract import Call, Failure, Outbound, Outcome, Reply, Sent
from connectors.errors import FailureKind, Inexpressible
from connectors.webchat.inbound import MAX_TEXT
from connectors.webchat.settings import Settings

MAX_CHOICES: Final = 20
MAX_LABEL: Final = 80
#: Verb of the one call, for the loop-back client.
SHOW: Final = "SHOW"


def render(outbound: Outbound, settings: Settings) -> Sequence[Call]:  # noqa: ARG001 - the contract's shape
    """One call for the whole message. Raises Inexpressible naming the limit."""
    if not outbound.parts:
        raise Inexpressible("There is nothing to send: the message has no parts.")
    for part in outbound.parts:
        match part:
            case Text():
                _check_text(part.text)
                if not part.text.strip():
                    raise Inexpressible("A text without visible characters cannot be sent.")
            case Choices():
                _check_text(part.text)
                _check_options(part)
            case Media() if part.stored:
                continue
            case _:
                kind = str(part.__struct_config__.tag)
                raise Inexpressible(f"The web chat cannot show {kind}; it shows text, choices and stored files.")
    return (Call(method=SHOW, url="", json={"id": outbound.id}, bucket=outbound.to),)


def read_reply(call: Call, reply: Reply, settings: Settings) -> Outcome:  # noqa: ARG001 - the contract's shape
    """The loop-back client answers with our own message id."""
    if reply.status == 200 and reply.body:
        return Sent(reply.body.decode())
    return Failure(kind=FailureKind.TRANSIENT, code=str(reply.status), detail="the web chat's loop-back did not answer")


def _check_text(text: str) -> None:
    if len(text) > MAX_TEXT:
        raise Inexpressible(f"A web chat message has at most {MAX_TEXT} characters; this one has {len(text)}.")


def _check_options(choices: Choices) -> None:
    if not choices.options:
        raise Inexpressible("A question needs at least one option.")
    if len(choices.options) > MAX_CHOICES:
        raise Inexpressible(f"The web chat shows at most {MAX_CHOICES} choices; these are {len(choices.options)}.")
    for option in choices.options:
        if len(option.label) > MAX_LABEL:
            raise Inexpressible(f"A choice has at most {MAX_LABEL} characters; {option.label[:20]!r}… has {len(option.label)}.")
