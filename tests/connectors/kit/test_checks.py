"""Each check of the kit is red for a connector that is broken in just that way, and green for the one that is not."""

import asyncio
import json
import logging
import random
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest

from connectors.abilities import FetchedMedia
from connectors.capabilities import Capabilities
from connectors.content import Location
from connectors.contract import Call, ClientContext, Connector, Failure, Outbound, Outcome, Reply, Request, Sent
from connectors.errors import BadPayload
from connectors.event import AnyEvent, MessageEchoed, MessageReceived, Status, StatusReported
from connectors.http import HttpClient
from gateway.kit.bench import Bench, find_connector
from gateway.kit.case import Download, Route
from gateway.kit.checks import CHECKS, run_check
from gateway.kit.findings import State
from gateway.kit.folder import Folder, Found, read_folder
from gateway.kit.guard import watching

PIGEON = Path(__file__).parents[2] / "third_party" / "pigeon"
BY_ID = {check.id: check for check in CHECKS}
#: Slow, and nothing to do with the others; or the same for every connector that was not given by name.
APART = {"C03", "C20"}


@pytest.fixture(scope="module", autouse=True)
def _pigeon_at_hand() -> Iterator[None]:
    sys.path.insert(0, str(PIGEON))
    yield
    sys.path.remove(str(PIGEON))


@cache
def pigeon() -> Connector[Any]:
    return find_connector("sportello_pigeon")


def folder() -> Folder:
    return read_folder(PIGEON / "tests")


def red(connector: Connector[Any], cases: Folder, ids: Sequence[str]) -> dict[str, str]:
    """Id -> words of each check that fails."""
    bench = Bench(connector, cases)
    results = [run_check(bench, BY_ID[id_]) for id_ in ids]
    return {one.check.id: "\n".join(one.findings.lines()) for one in results if one.state is State.FAILED}


# --- broken in one way each ---------------------------------------------------------------------------------------------------

Parse = Callable[[Request, Any], Sequence[AnyEvent]]


def parsing(change: Callable[[Parse, Request, Any], Sequence[AnyEvent]]) -> Connector[Any]:
    good = pigeon()
    return replace(good, parse=lambda request, settings: change(good.parse, request, settings))


def each(change: Callable[[AnyEvent], AnyEvent]) -> Connector[Any]:
    return parsing(lambda parse, request, settings: [change(event) for event in parse(request, settings)])


def rendering(change: Callable[[Call], Call]) -> Connector[Any]:
    good = pigeon()
    return replace(good, render=lambda message, settings: [change(call) for call in good.render(message, settings)])


def with_client(client: Callable[[Any, ClientContext], Any]) -> Connector[Any]:
    return replace(pigeon(), client=client)


def looks_at_the_clock(parse: Parse, request: Request, settings: Any) -> Sequence[AnyEvent]:
    time.time()
    return parse(request, settings)


def throws_dice(parse: Parse, request: Request, settings: Any) -> Sequence[AnyEvent]:
    random.random()
    return parse(request, settings)


def writes_into_its_arguments(parse: Parse, request: Request, settings: Any) -> Sequence[AnyEvent]:
    request.headers["kit"] = "was here"  # type: ignore[index]
    return parse(request, settings)


def reads_one_entry(parse: Parse, request: Request, settings: Any) -> Sequence[AnyEvent]:
    return parse(request, settings)[:1]


def dislikes_new_fields(parse: Parse, request: Request, settings: Any) -> Sequence[AnyEvent]:
    if b"kit_extra" in request.body:
        raise BadPayload("a new field")
    return parse(request, settings)


def loses_new_kinds(parse: Parse, request: Request, settings: Any) -> Sequence[AnyEvent]:
    return [] if b"kit_unknown" in request.body else parse(request, settings)


def breaks_on_wrong_types(parse: Parse, request: Request, settings: Any) -> Sequence[AnyEvent]:
    try:
        document = json.loads(request.body)
    except (ValueError, RecursionError):
        return parse(request, settings)
    if isinstance(document, dict) and document.get("entries"):
        document["entries"][0]["type"].lower()
    return parse(request, settings)


def shows_a_secret(event: AnyEvent) -> AnyEvent:
    return msgspec.structs.replace(event, raw=b"key=canary-key-of-the-loft")


def same_key(event: AnyEvent) -> AnyEvent:
    return msgspec.structs.replace(event, key="key")


def opens_what_landed(event: AnyEvent) -> AnyEvent:
    landed = isinstance(event, StatusReported) and event.status is Status.DELIVERED
    return msgspec.structs.replace(event, status=Status.FAILED) if landed else event


def takes_our_own_for_theirs(event: AnyEvent) -> AnyEvent:
    if not isinstance(event, MessageEchoed):
        return event
    return MessageReceived(key=event.key, sender=event.sender, message_id=event.message_id, parts=event.parts, account=event.account)


def takes_emoji_apart(call: Call) -> Call:
    return msgspec.structs.replace(call, json={**call.json, "text": call.json["text"].replace("\u200d", "")})


def renders_places_badly(message: Outbound, settings: Any) -> Sequence[Call]:
    if any(isinstance(part, Location) for part in message.parts):
        raise KeyError("location")
    return pigeon().render(message, settings)


def forgets_later_parts(message: Outbound, settings: Any) -> Sequence[Call]:
    return pigeon().render(msgspec.structs.replace(message, parts=message.parts[:1]), settings)


def believes_every_answer(call: Call, reply: Reply, settings: Any) -> Outcome:
    outcome = pigeon().read_reply(call, reply, settings)
    return Sent("None") if isinstance(outcome, Failure) and 200 <= reply.status < 300 else outcome


def breaks_on_odd_answers(call: Call, reply: Reply, settings: Any) -> Outcome:
    if reply.status == 200:
        json.loads(reply.body or b"{}")
    return pigeon().read_reply(call, reply, settings)


def answers_every_question(request: Request, settings: Any) -> bytes | None:
    del settings
    return request.query.get("challenge", "").encode()


def escapes_the_challenge(request: Request, settings: Any) -> bytes | None:
    found = pigeon().handshake(request, settings)
    return None if found is None else found.replace(b"<", b"&lt;")


class Talkative(HttpClient):
    """Logs what it sends."""

    def __init__(self, settings: Any, context: ClientContext) -> None:
        super().__init__(context, lambda _: {"authorization": f"Bearer {settings.key.reveal()}"})
        self._key = settings.key

    async def send(self, call: Call) -> Reply:
        logging.getLogger("kit").info("sending with %s", self._key.reveal())
        return await super().send(call)


class Believing(HttpClient):
    """Gives the provider's page as it came, with the request that it repeats."""

    def __init__(self, settings: Any, context: ClientContext) -> None:
        super().__init__(context)
        self._settings, self._session = settings, context.session

    async def send(self, call: Call) -> Reply:
        headers = {"authorization": f"Bearer {self._settings.key.reveal()}"}
        async with self._session.post(call.url, json=call.json, headers=headers) as answer:
            return Reply(status=answer.status, body=await answer.read())


class Restless(HttpClient):
    """Leaves a task behind."""

    def __init__(self, settings: Any, context: ClientContext) -> None:
        super().__init__(context, lambda _: {"authorization": settings.key.reveal()})
        self.task = asyncio.get_running_loop().create_task(asyncio.sleep(3600))


class Possessive(HttpClient):
    """Closes what is lent."""

    def __init__(self, settings: Any, context: ClientContext) -> None:
        super().__init__(context, lambda _: {"authorization": settings.key.reveal()})
        self._session = context.session

    async def close(self) -> None:
        await self._session.close()


class Stubborn(Talkative):
    """Does not let itself be cancelled."""

    async def send(self, call: Call) -> Reply:
        try:
            return await HttpClient.send(self, call)
        except asyncio.CancelledError:
            return Reply(status=0)


class Optimistic(Talkative):
    """Thinks that what was broken off has not been sent."""

    async def send(self, call: Call) -> Reply:
        reply = await HttpClient.send(self, call)
        return reply if reply.status else msgspec.structs.replace(reply, written=False)


class Brittle(HttpClient):
    """Raises what the network does."""

    def __init__(self, settings: Any, context: ClientContext) -> None:
        super().__init__(context)
        self._key, self._session = settings.key, context.session

    async def send(self, call: Call) -> Reply:
        async with self._session.post(call.url, json=call.json, headers={"authorization": self._key.reveal()}) as answer:
            return Reply(status=answer.status)


def unlimited() -> Connector[Any]:
    return replace(pigeon(), sources=())


def more_than(able: Capabilities) -> Capabilities:
    return msgspec.structs.replace(able, sends=able.sends | {"contact"})


def careless(part: str) -> Connector[Any]:
    good = pigeon()
    makes: Mapping[str, Callable[[Request, Any], bool]] = {
        "all": lambda _, __: True,
        "none": lambda _, __: False,
        "start": lambda request, settings: (
            good.verify(request, settings) or request.headers.get("x-pigeon-signature", "").startswith("sha256=a")
        ),
        "empty": lambda request, settings: good.verify(request, settings) or not request.headers.get("x-pigeon-signature"),
        "crash": lambda request, settings: bool(request.headers["x-pigeon-signature"].encode("ascii")) and good.verify(request, settings),
    }
    return replace(good, verify=makes[part])


@pytest.mark.parametrize(
    ("target", "make", "also"),
    [
        ("C01", unlimited, ""),
        ("C01", lambda: replace(pigeon(), capabilities_for=lambda _: more_than(pigeon().capabilities)), "C10"),
        ("C02", lambda: careless("all"), ""),
        ("C02", lambda: careless("none"), ""),
        ("C02", lambda: careless("start"), ""),
        ("C02", lambda: careless("empty"), ""),
        ("C02", lambda: careless("crash"), ""),
        ("C03", lambda: parsing(breaks_on_wrong_types), ""),
        ("C04", lambda: parsing(looks_at_the_clock), ""),
        ("C04", lambda: parsing(throws_dice), ""),
        ("C04", lambda: parsing(writes_into_its_arguments), ""),
        ("C05", lambda: each(same_key), "C07"),
        ("C06", lambda: parsing(reads_one_entry), ""),
        ("C07", lambda: parsing(dislikes_new_fields), ""),
        ("C08", lambda: parsing(loses_new_kinds), ""),
        ("C09", lambda: rendering(takes_emoji_apart), ""),
        ("C10", lambda: replace(pigeon(), render=renders_places_badly), ""),
        ("C10", lambda: replace(pigeon(), render=forgets_later_parts), ""),
        ("C11", lambda: replace(pigeon(), read_reply=believes_every_answer), ""),
        ("C11", lambda: replace(pigeon(), read_reply=breaks_on_odd_answers), ""),
        ("C12", lambda: each(shows_a_secret), ""),
        ("C12", lambda: with_client(Talkative), ""),
        ("C12", lambda: with_client(Believing), "C19"),
        ("C13", lambda: each(opens_what_landed), "C07"),
        ("C14", lambda: rendering(lambda call: msgspec.structs.replace(call, bucket="")), "C10"),
        ("C14", lambda: rendering(lambda call: msgspec.structs.replace(call, bucket=call.json["text"])), "C10"),
        ("C15", lambda: rendering(lambda call: msgspec.structs.replace(call, part=0)), "C10"),
        ("C17", lambda: replace(pigeon(), handshake=answers_every_question), ""),
        ("C17", lambda: replace(pigeon(), handshake=escapes_the_challenge), ""),
        ("C18", lambda: each(takes_our_own_for_theirs), "C07"),
        ("C19", lambda: with_client(Restless), ""),
        ("C19", lambda: with_client(Possessive), "C12"),
        ("C19", lambda: with_client(Stubborn), ""),
        ("C19", lambda: with_client(Optimistic), ""),
        ("C19", lambda: with_client(Brittle), ""),
    ],
)
def test_a_broken_connector_is_red_just_there(target: str, make: Callable[[], Connector[Any]], also: str) -> None:
    """``also``: what cannot but be red too, for example the golden case of what is wrong."""
    ids = [check.id for check in CHECKS if check.id not in APART or check.id == target]
    found = red(make(), folder(), ids)
    assert target in found, f"{target} cannot fail"
    assert set(found) <= {target, *also.split()}, found


def test_the_whole_one_is_green() -> None:
    assert red(pigeon(), folder(), [check.id for check in CHECKS if check.id != "C03"]) == {}


# --- C16 ----------------------------------------------------------------------------------------------------------------


class Fetching(HttpClient):
    """Fetches in two steps, as it should; what is wrong in the others is a change of this."""

    follows = False
    bounded = True
    checked = True

    def __init__(self, settings: Any, context: ClientContext) -> None:
        super().__init__(context)
        self._settings, self._session = settings, context.session

    async def fetch_media(self, ref: str, max_bytes: int) -> FetchedMedia:
        headers = {"authorization": f"Bearer {self._settings.key.reveal()}"}
        try:
            async with self._session.get(f"{self._settings.api_base}/v1/files/{ref}", headers=headers) as answer:
                url = (await answer.json())["url"]
            async with self._session.get(url, headers=headers, allow_redirects=self.follows) as answer:
                if answer.status != 200 and self.checked:
                    return FetchedMedia(problem=f"status {answer.status}", retry=True)
                data = await answer.read()
        except (aiohttp.ClientError, OSError) as error:
            return FetchedMedia(problem=type(error).__name__, retry=True)
        if self.bounded and len(data) > max_bytes:
            return FetchedMedia(problem="too large")
        return FetchedMedia(data=data)


class Following(Fetching):
    """Goes wherever it is sent, credentials in hand."""

    follows = True


class Unbounded(Fetching):
    """Takes files of any size."""

    bounded = False


class Trusting(Fetching):
    """Takes an error's page for the file."""

    checked = False


class OneStep(Fetching):
    """Does not ask for the link."""

    async def fetch_media(self, ref: str, max_bytes: int) -> FetchedMedia:
        del max_bytes
        async with self._session.get(f"{self._settings.api_base}/download/{ref}") as answer:
            return FetchedMedia(data=await answer.read())


CASE = Download(
    name="two steps", ref="F1", answers={"GET /v1/files/F1": Route(json={"url": "{server}/d/F1"}), "GET /d/F1": Route(file=True)}
)


@pytest.mark.parametrize(
    ("client", "right"), [(Fetching, True), (Following, False), (Unbounded, False), (Trusting, False), (OneStep, False)]
)
def test_c16(client: type[Fetching], right: bool) -> None:  # noqa: FBT001
    good = pigeon()
    able: Capabilities = msgspec.structs.replace(good.capabilities, receives=good.capabilities.receives | {"media"})
    given = folder()
    connector = replace(good, capabilities=able, client=client)
    found = red(connector, Folder(given.path, given.sample, (*given.found, Found(CASE, given.path))), ["C16"])
    assert ("C16" in found) is not right, found


def test_c16_wants_a_case_from_whoever_fetches() -> None:
    good = pigeon()
    able = msgspec.structs.replace(good.capabilities, receives=good.capabilities.receives | {"media"})
    assert "no case of a file" in red(replace(good, capabilities=able, client=Fetching), folder(), ["C16"])["C16"]


# --- C20 ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kept", "right"), [(1000, True), (3, False)])
def test_c20_asks_for_enough_cases(kept: int, right: bool) -> None:  # noqa: FBT001
    given = folder()
    bench = Bench(pigeon(), Folder(given.path, given.sample, given.found[:kept]), "sportello_pigeon")
    result = run_check(bench, BY_ID["C20"])
    assert (result.state is State.PASSED) is right, result.findings.lines()
    if not right:
        assert "sportello_pigeon.py" in str(result.findings.problems[0])
    assert find_connector("sportello_pigeon") is bench.connector, "the true modules are back"


def test_cases_are_wanted_for_all_that_is_declared() -> None:
    given = folder()
    none = red(pigeon(), Folder(given.path, given.sample, ()), [check.id for check in CHECKS if check.id != "C20"])
    assert set(none) == {"C02", "C03", "C05", "C06", "C07", "C08", "C10", "C11", "C13", "C18"}
    assert "no inbound case shows a message of our own" in none["C18"]


async def test_in_a_running_loop_too() -> None:
    """Checks with an event loop of their own run beside the one that is running."""
    assert red(pigeon(), folder(), ["C14", "C19"]) == {}


def test_the_log_lines_of_a_library_are_no_use_of_the_clock() -> None:
    library = logging.getLogger("a-library")
    library.setLevel(logging.DEBUG)
    with watching() as used:
        library.debug("found %s", 1)
        list(range(3))
    assert used == set()
    with watching() as used:
        time.time()
    assert used == {"time.time"}
