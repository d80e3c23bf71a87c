"""A connector on the bench, with everything that the checks need of it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import Any

import msgspec
from msgspec.structs import replace

from config import ConfigError
from config.decode import decode_section
from connectors.content import Text
from connectors.contract import Call, Connector, Failure, Outbound, Reply, Request, Sent
from connectors.errors import BadPayload, Inexpressible
from connectors.event import AnyEvent, encode_event
from connectors.registry import kinds, load_connector
from gateway.channels import secrets_in
from gateway.kit.case import Answer, Download, GivenRequest, Handshake, Inbound, Sending, Setting, Statuses
from gateway.kit.folder import BadFolder, Folder, read_folder

#: A text that every channel carries.
HELLO = Text(text="Buongiorno! Kit 4711.")


@dataclass(frozen=True, slots=True)
class Arrival:
    """An inbound case with its request, signed."""

    case: Inbound
    #: As the case has it, and signed.
    bare: Request
    request: Request

    @property
    def name(self) -> str:
        return self.case.name


class Bench:
    """One connector with its author's sample and cases. Raises :class:`BadFolder` if these do not fit it."""

    def __init__(self, connector: Connector[Any], folder: Folder, name: str = "") -> None:
        self.connector = connector
        #: How another process finds it; empty if it cannot.
        self.name = name
        self.folder = folder
        self.sample = folder.sample
        self.settings = self.settings_with({})
        self.able = connector.able(self.settings)
        self.others = [self.settings_with(changes) for changes in self.sample.other_secrets]

    # --- settings -------------------------------------------------------------------------------------------------------

    def settings_with(self, changes: Mapping[str, Any]) -> Any:
        """The sample's settings with changes, decoded as the gateway decodes them."""
        return decode(self.connector, self.sample.settings, changes, self.folder.path)

    @cached_property
    def secrets(self) -> tuple[str, ...]:
        """Values of all secrets in the sample."""
        found = {secret.reveal() for settings in (self.settings, *self.others) for secret in secrets_in(settings)}
        return tuple(sorted(found))

    @property
    def wrong_settings(self) -> list[Setting]:
        """The cases of settings that must be refused."""
        return [case for case, _ in self.folder.of(Setting)]

    def refusal(self, case: Setting, connector: Connector[Any]) -> str:
        """In words; empty if they are taken."""
        try:
            decode_section(connector.settings, {**self.sample.settings, **case.changes}, ("settings",), {})
        except ConfigError as error:
            return str(error)
        return ""

    # --- inbound --------------------------------------------------------------------------------------------------------

    @cached_property
    def arrivals(self) -> list[Arrival]:
        """The inbound cases with genuine requests."""
        return [self._arrival(case, folder) for case, folder in self.folder.of(Inbound) if not case.forged]

    @cached_property
    def forgeries(self) -> list[Arrival]:
        """Those with requests that are not."""
        return [self._arrival(case, folder) for case, folder in self.folder.of(Inbound) if case.forged]

    def _arrival(self, case: Inbound, folder: Path) -> Arrival:
        bare = case.request.request(self.sample, folder)
        return Arrival(case, bare, self.sign(bare))

    @property
    def good(self) -> list[Arrival]:
        """Those that give events."""
        return [one for one in self.arrivals if one.case.events is not None]

    @cached_property
    def reports(self) -> list[tuple[Statuses, list[Request]]]:
        """The cases of statuses, with their requests."""
        return [(case, [self.signed(one, folder) for one in case.requests]) for case, folder in self.folder.of(Statuses)]

    @cached_property
    def questions(self) -> list[tuple[Handshake, Request]]:
        """The handshakes."""
        return [(case, case.request.request(self.sample, folder)) for case, folder in self.folder.of(Handshake)]

    @cached_property
    def downloads(self) -> list[Download]:
        """The media cases."""
        return [case for case, _ in self.folder.of(Download)]

    def signed(self, given: GivenRequest, folder: Path) -> Request:
        """As the provider would send it."""
        return self.sign(given.request(self.sample, folder))

    def sign(self, request: Request, settings: Any = None) -> Request:
        """Made genuine; names of headers in lower case, as the gateway hands them on."""
        made = self.sample.sign(request, self.settings if settings is None else settings)
        return replace(made, headers={name.lower(): value for name, value in made.headers.items()})

    def parse(self, request: Request, connector: Connector[Any] | None = None) -> list[AnyEvent]:
        """The events. Raises BadPayload, and whatever a broken connector raises."""
        return list((connector or self.connector).parse(request, self.settings))

    def try_parse(self, request: Request) -> list[AnyEvent] | BadPayload:
        """The same; the one allowed error as a value."""
        try:
            return self.parse(request)
        except BadPayload as error:
            return error

    # --- outbound -------------------------------------------------------------------------------------------------------

    @cached_property
    def sendings(self) -> list[tuple[Sending, Outbound]]:
        """The outbound cases, with their messages."""
        try:
            return [(case, case.outbound(self.sample)) for case, _ in self.folder.of(Sending)]
        except msgspec.ValidationError as error:
            raise BadFolder(f"an outbound case's message: {error}") from error

    @cached_property
    def answers(self) -> list[tuple[Answer, Reply]]:
        """The reply cases, with their replies."""
        return [(case, case.reply.reply(folder)) for case, folder in self.folder.of(Answer)]

    def message(self, *parts: Any, to: str = "") -> Outbound:
        """A message within the first window that may carry it."""
        tags = {str(part.__struct_config__.tag) for part in parts}
        window = next((window.name for window in self.able.windows if tags <= window.sends), "")
        return Outbound(id="msg_1", to=to or self.sample.to, parts=parts, at=self.sample.received_at, author="Ada", window=window)

    def render(self, message: Outbound) -> list[Call]:
        """The calls. Raises Inexpressible, and whatever a broken connector raises."""
        return list(self.connector.render(message, self.settings))

    def try_render(self, message: Outbound) -> list[Call] | Inexpressible:
        """The same; the one allowed error as a value."""
        try:
            return self.render(message)
        except Inexpressible as error:
            return error

    @cached_property
    def hello(self) -> Call | None:
        """The first call of a short text; None if the channel carries none, or ``render`` is broken."""
        try:
            return self.render(self.message(HELLO))[0]
        except (Inexpressible, IndexError, NotImplementedError):
            return next((call for _, message in self.sendings for call in self._calls(message)), None)

    def _calls(self, message: Outbound) -> Iterator[Call]:
        found = self.try_render(message)
        yield from found if isinstance(found, list) else []

    def outcome(self, call: Call, reply: Reply) -> Sent | Failure:
        """What the answer means."""
        return self.connector.read_reply(call, reply, self.settings)

    @property
    def over_http(self) -> bool:
        """Are calls requests of HTTP?"""
        return self.hello is not None and self.hello.method in {"GET", "POST", "PUT", "PATCH", "DELETE"}


def as_data(event: AnyEvent) -> Any:
    """An event as the files of expected events have it."""
    return msgspec.json.decode(encode_event(event))


def plain(events: Sequence[AnyEvent]) -> list[Any]:
    """Events without their raw fragments."""
    return [as_data(event) for event in events]


def decode(connector: Connector[Any], values: Mapping[str, Any], changes: Mapping[str, Any], folder: Path) -> Any:
    """Settings of ``connector``, as the gateway decodes them. Raises :class:`BadFolder`."""
    try:
        return decode_section(connector.settings, {**values, **changes}, ("settings",), {})
    except ConfigError as error:
        raise BadFolder(f"{folder / 'sample.py'}: the settings are refused: {error}") from error


def find_connector(name: str) -> Connector[Any]:
    """A kind that is installed, or a module with ``CONNECTOR``, or ``module:attribute``. Raises :class:`BadFolder`."""
    if name in kinds():
        return load_connector(name)
    module, _, attribute = name.partition(":")
    try:
        found = getattr(import_module(module), attribute or "CONNECTOR")
    except ModuleNotFoundError as error:
        if error.name is None or not (module == error.name or module.startswith(f"{error.name}.")):
            raise
        raise BadFolder(f"{name!r} is neither an installed kind ({', '.join(kinds())}) nor a module that can be imported") from error
    except AttributeError as error:
        raise BadFolder(f"{module} has no {attribute or 'CONNECTOR'}") from error
    if not isinstance(found, Connector):
        raise BadFolder(f"{name} gives a {type(found).__name__}, not a connectors.contract.Connector")
    return found


def open_bench(name: str, folder: Path) -> Bench:
    """Everything loaded. Raises :class:`BadFolder`, ConnectorError, and what a module raises that cannot be imported."""
    return Bench(find_connector(name), read_folder(folder), name)
