"""Cases as their files have them: one JSON object each, told apart by ``case``. See ``README.md``."""

import base64
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final
from urllib.parse import urlencode

import msgspec
from msgspec import UNSET, Struct, UnsetType

from connectors.contract import Call, Failure, Outbound, Reply, Request, Sent
from connectors.event import Status
from gateway.kit.sample import Sample

#: Ending of a body's file -> the type that it is sent as.
TYPES: Final = MappingProxyType(
    {
        ".json": "application/json",
        ".form": "application/x-www-form-urlencoded",
        ".eml": "message/rfc822",
        ".txt": "text/plain",
        ".xml": "application/xml",
    }
)


class Body(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A body, in the most readable of its forms; none of them: it is empty."""

    json: Any | UnsetType = UNSET
    form: dict[str, str] | UnsetType = UNSET
    text: str | UnsetType = UNSET
    base64: str | UnsetType = UNSET
    #: A file beside the case's.
    file: str | UnsetType = UNSET

    def data(self, folder: Path) -> bytes:
        """The bytes. Raises OSError, ValueError."""
        if self.json is not UNSET:
            return msgspec.json.encode(self.json)
        if not isinstance(self.form, UnsetType):
            return urlencode(self.form).encode()
        if not isinstance(self.text, UnsetType):
            return self.text.encode("utf-8", "surrogatepass")
        if not isinstance(self.base64, UnsetType):
            return base64.b64decode(self.base64, validate=True)
        return b"" if isinstance(self.file, UnsetType) else (folder / self.file).read_bytes()

    def type(self) -> str:
        """The content type that goes with it; empty if nothing tells."""
        if self.json is not UNSET:
            return TYPES[".json"]
        if self.form is not UNSET:
            return TYPES[".form"]
        return "" if isinstance(self.file, UnsetType) else TYPES.get(Path(self.file).suffix, "")


class GivenRequest(Body, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A recorded request, not yet signed."""

    method: str = "POST"
    url: str = ""
    headers: dict[str, str] = {}
    query: dict[str, str] = {}
    received_at: datetime | None = None

    def request(self, sample: Sample, folder: Path) -> Request:
        """As the gateway would hand it to the connector, but for the signature."""
        address = self.url or sample.url
        if self.query and not self.url:
            address = f"{address}?{urlencode(self.query)}"
        typed = {"content-type": self.type()} if self.type() else {}
        headers = {name.lower(): value for name, value in (typed | dict(sample.headers) | self.headers).items()}
        body, at = self.data(folder), self.received_at or sample.received_at
        return Request(method=self.method, url=address, headers=headers, body=body, query=self.query, received_at=at)


class GivenReply(Body, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A recorded answer to a call."""

    status: int
    headers: dict[str, str] = {}
    written: bool = True

    def reply(self, folder: Path) -> Reply:
        """As the client would give it."""
        headers = {name.lower(): value for name, value in self.headers.items()}
        return Reply(status=self.status, body=self.data(folder), headers=headers, written=self.written)


class Case(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="case", tag=str.lower):
    """Base of all cases."""

    name: str = ""


class Inbound(Case, frozen=True, kw_only=True):
    """A request and its events."""

    request: GivenRequest
    events: list[dict[str, Any]] | None = None
    bad: str = ""
    #: It must not be taken for genuine.
    forged: bool = False
    own: bool = False
    closed: bool = False

    def __post_init__(self) -> None:
        if [self.events is not None, bool(self.bad), self.forged].count(True) != 1:
            raise ValueError("an inbound case needs one of `events`, `bad` and `forged`")


class Sending(Case, frozen=True, kw_only=True, tag="outbound"):
    """A message and its calls. ``message`` holds fields of ``Outbound``."""

    message: dict[str, Any]
    calls: list[dict[str, Any]] | None = None
    refused: str = ""

    def __post_init__(self) -> None:
        if (self.calls is None) == (not self.refused):
            raise ValueError("an outbound case needs either `calls` or `refused`")

    def outbound(self, sample: Sample) -> Outbound:
        """The message. Raises ``msgspec.ValidationError``."""
        return msgspec.convert({"id": "msg_1", "to": sample.to, **self.message}, Outbound)


class Answer(Case, frozen=True, kw_only=True, tag="reply"):
    """A provider's answer and its outcome."""

    reply: GivenReply
    outcome: dict[str, Any]
    call: dict[str, Any] | None = None

    def expected(self) -> Sent | Failure:
        """The outcome. Raises ``msgspec.ValidationError``."""
        found: Sent | Failure = msgspec.convert(self.outcome, Sent | Failure)
        return found

    def its_call(self) -> Call | None:
        """The call, if the case has one."""
        return None if self.call is None else msgspec.convert(self.call, Call)


class Statuses(Case, frozen=True, kw_only=True):
    """Reports about one message of ours, in any order."""

    requests: list[GivenRequest]
    ends: Status


class Handshake(Case, frozen=True, kw_only=True):
    """The provider's question whether the address is ours."""

    request: GivenRequest
    body: str | None


class Setting(Case, frozen=True, kw_only=True, tag="settings"):
    """Settings that must be refused: the sample's with ``changes``."""

    changes: dict[str, Any]
    #: Words of the refusal.
    refused: str

    def __post_init__(self) -> None:
        if not self.refused:
            raise ValueError("a case of settings needs words of the refusal in `refused`")


class Route(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the scripted provider answers at one address."""

    json: Any = None
    file: bool = False
    status: int = 200
    headers: Mapping[str, str] = {}


class Download(Case, frozen=True, kw_only=True, tag="media"):
    """How a file is fetched."""

    ref: str
    answers: dict[str, Route]
    mime: str = "image/jpeg"

    def __post_init__(self) -> None:
        if sum(route.file for route in self.answers.values()) != 1:
            raise ValueError('exactly one of the answers needs "file": true')


AnyCase = Inbound | Sending | Answer | Statuses | Handshake | Download | Setting
