"""Frames of the web chat -> events, replies -> the loop-back."""

import contextlib
from datetime import UTC, datetime

import aiohttp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from config import ConfigError, Secret
from connectors.content import Choice, Choices, Chosen, Location, Media, MediaKind, Text
from connectors.contract import ClientContext, Outbound, Reply, Request, Sent
from connectors.errors import BadPayload, Inexpressible
from connectors.event import AnyEvent, ChatStarted, MessageReceived
from connectors.identity import Evidence, Identity, mail_of_visitor
from connectors.webchat import CAPABILITIES, CONNECTOR, Settings
from connectors.webchat.visitor import Visitor, sign_token
from tests.support.settings import settings_of

SECRET = Secret("canary-visitors-long-enough-0123456789")
AT = datetime(2026, 11, 1, tzinfo=UTC)
CLEO = Identity("visitor", "web", "cleo")
TOKEN = sign_token(Visitor(visitor="cleo", channel="web", iat=int(AT.timestamp())), SECRET)


def _parse(body: bytes) -> AnyEvent:
    url = "https://gw.example/chat/v1/web/socket"
    request = Request(method="POST", url=url, headers={"x-visitor": TOKEN}, body=body, received_at=AT)
    (event,) = CONNECTOR.parse(request, Settings(secret=SECRET))
    return event


def test_a_message() -> None:
    event = _parse(b'{"type":"message","id":"uuid-0001","text":"Ciao \xf0\x9f\x91\x8b"}')
    assert isinstance(event, MessageReceived)
    assert (event.key, event.message_id, event.thread, event.at) == ("cleo:uuid-0001", "cleo:uuid-0001", "cleo", AT)
    assert (event.sender.identity, event.sender.evidence) == (CLEO, Evidence.SIGNED)
    assert event.parts == (Text(text="Ciao 👋"),)


def test_a_choice() -> None:
    event = _parse(b'{"type":"chosen","id":"uuid-0001","option":"l","label":"Large"}')
    assert isinstance(event, MessageReceived)
    assert event.parts == (Chosen(id="l", label="Large"),)


def test_the_start_and_the_profile() -> None:
    start = _parse(b'{"type":"start","id":"uuid-0001","page":"https://shop.example/x?utm=1"}')
    assert isinstance(start, ChatStarted)
    assert start.payload == "https://shop.example/x?utm=1"
    profile = _parse(b'{"type":"profile","id":"uuid-0002","name":" Cleo ","email":"Cleo@Example.org"}')
    assert isinstance(profile, ChatStarted)
    assert profile.sender.name == "Cleo"
    assert profile.sender.aliases == ((mail_of_visitor(profile.sender.identity, "cleo@example.org"), Evidence.CLAIMED),)


def test_files_and_the_page() -> None:
    """C5, C6: files are described by the gateway; what is no web address is left out."""
    event = _parse(
        b'{"type":"message","id":"uuid-0001","files":[{"id":"med_1","mime":"image/png","name":"a.png","size":9},{"id":"med_2","mime":"x/y"}],'
        b'"page":"https://shop.example/","referrer":"javascript:alert(1)"}'
    )
    assert isinstance(event, MessageReceived)
    assert event.parts == (
        Media(kind=MediaKind.IMAGE, ref="med_1", mime="image/png", name="a.png", size=9, stored="med_1"),
        Media(kind=MediaKind.FILE, ref="med_2", mime="x/y", stored="med_2"),
    )
    assert (event.page, event.referrer) == ("https://shop.example/", "")
    with pytest.raises(BadPayload, match="a text or a file"):
        _parse(b'{"type":"message","id":"uuid-0001"}')


def test_identified_is_three_events_of_which_the_last_joins() -> None:
    """C6: both sides are customers before they are joined, so that the joining can be undone."""
    user = sign_token(Visitor(visitor="user:42", channel="web", iat=int(AT.timestamp())), SECRET)
    request = Request(
        method="POST",
        url="https://gw.example/chat/v1/web/identify",
        headers={"x-visitor": TOKEN, "x-user": user},
        body=b'{"type":"identify","id":"0123456789","name":" Cleo "}',
        received_at=AT,
    )
    whole = Settings(secret=SECRET)
    assert CONNECTOR.verify(request, whole)
    stranger, named, joined = CONNECTOR.parse(request, whole)
    assert isinstance(stranger, ChatStarted)
    assert isinstance(named, ChatStarted)
    assert isinstance(joined, ChatStarted)
    assert (stranger.sender.identity, named.sender.identity, named.sender.name) == (CLEO, Identity("visitor", "web", "user:42"), "Cleo")
    assert (joined.sender.identity, joined.sender.aliases) == (named.sender.identity, ((CLEO, Evidence.SIGNED),))
    assert len({stranger.key, named.key, joined.key}) == 3
    for headers in ({"x-user": user}, {"x-visitor": TOKEN, "x-user": user[:-2] + "AA"}, {"x-visitor": TOKEN, "x-user": ""}):
        assert not CONNECTOR.verify(structs.replace(request, headers=headers), whole)


def test_only_the_path_says_which_channel_it_is() -> None:
    """C1: a query cannot pretend to be another road."""
    request = Request(method="POST", url="https://gw.example/chat/v1/web/socket", headers={"x-visitor": TOKEN}, body=b"{}", received_at=AT)
    assert CONNECTOR.verify(request, Settings(secret=SECRET))
    for url in ("https://gw.example/webhooks/web?x=/chat/v1/web/socket", "https://gw.example/chat/v1/web2/socket", "https://gw.example/"):
        assert not CONNECTOR.verify(structs.replace(request, url=url), Settings(secret=SECRET))


@given(
    st.binary(max_size=200)
    | st.text(max_size=200).map(lambda text: b'{"type":"message","id":"uuid-0001","text":' + text.encode("utf-8", "replace"))
)
@settings(max_examples=300, deadline=None)
def test_any_bytes_give_an_event_or_the_one_error(body: bytes) -> None:
    with contextlib.suppress(BadPayload):
        assert _parse(body).key.startswith("cleo:")


def test_a_reply_says_its_limits_before_it_is_sent() -> None:
    many = Choices(text="?", options=tuple(Choice(str(number), "x") for number in range(21)))
    wide = Choices(text="?", options=(Choice("1", "x" * 81),))
    for part, words in ((Text(text="x" * 10_001), "10000"), (many, "20"), (wide, "80"), (Location(latitude=1, longitude=2), "location")):
        with pytest.raises(Inexpressible, match=words):
            CONNECTOR.render(Outbound(id="msg_1", to="cleo", parts=(part,)), Settings())


async def test_the_loop_back_answers_with_our_own_id() -> None:
    async def read_file(stored: str) -> bytes:
        raise FileNotFoundError(stored)

    async with aiohttp.ClientSession() as session:
        client = CONNECTOR.client(Settings(), ClientContext(session=session, channel="web", read_file=read_file))
        (call,) = CONNECTOR.render(Outbound(id="msg_1", to="cleo", parts=(Text(text="Hi"), Text(text="there"))), Settings())
        assert CONNECTOR.read_reply(call, await client.send(call), Settings()) == Sent("msg_1")
        assert not isinstance(CONNECTOR.read_reply(call, Reply(status=0), Settings()), Sent)
        picture = Media(kind=MediaKind.IMAGE, ref="med_1", stored="med_1")
        assert len(CONNECTOR.render(Outbound(id="msg_2", to="cleo", parts=(picture,)), Settings())) == 1
        with pytest.raises(Inexpressible, match="stored files"):
            CONNECTOR.render(Outbound(id="msg_3", to="cleo", parts=(structs.replace(picture, stored=""),)), Settings())
        await client.close()


@pytest.mark.parametrize(
    "origin", ["*", "https://*.example.org", "https://shop.example.org/", "shop.example.org", "null", "https://SHOP.org"]
)
def test_an_origin_that_is_none_is_named(origin: str) -> None:
    with pytest.raises(ConfigError, match="origins"):
        settings_of(Settings, {"origins": [origin]})


def test_short_secrets_are_refused_without_being_shown() -> None:
    for name in ("secret", "identity_secret"):
        with pytest.raises(ConfigError, match=name) as caught:
            settings_of(Settings, {name: "hunter2"})
        assert "hunter2" not in str(caught.value)


def test_the_capabilities_say_what_render_can_do() -> None:
    assert CAPABILITIES.sends == {"text", "media", "choices"}
    assert CAPABILITIES.limits.text == 10_000
