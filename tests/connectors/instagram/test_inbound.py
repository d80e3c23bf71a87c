"""What Meta posts about an Instagram account, and what we make of it: M1-M4, M8, and comments."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connectors.content import Media, Referral, Text, Unsupported
from connectors.errors import BadPayload
from connectors.event import (
    AnyEvent,
    MessageDeleted,
    MessageEchoed,
    MessageReceived,
    PayloadIgnored,
    PayloadQuarantined,
    Status,
    StatusReported,
    decode_event,
    encode_event,
)
from connectors.identity import Identity
from connectors.instagram import CONNECTOR, Settings
from tests.support.messenger import ACCOUNT, instagram_settings, make_request, places, signed, with_extra, with_value

PAYLOADS = Path(__file__).parent / "payloads"
NAMES = sorted(path.stem for path in PAYLOADS.glob("*.json") if not path.stem.endswith(".expect"))
IGSID = "1250000000000077"


def read(body: bytes, config: Settings | None = None) -> list[AnyEvent]:
    return list(CONNECTOR.parse(make_request(body), config or instagram_settings()))


def load(name: str) -> Any:
    return json.loads((PAYLOADS / f"{name}.json").read_bytes())


def read_all(payload: Any) -> list[AnyEvent]:
    return read(json.dumps(payload).encode())


def one(name: str) -> AnyEvent:
    (event,) = read_all(load(name))
    return event


def received(name: str) -> MessageReceived:
    event = one(name)
    assert isinstance(event, MessageReceived)
    return event


def test_the_table_is_there() -> None:
    assert len(NAMES) >= 35


@pytest.mark.parametrize("name", NAMES)
def test_payload(name: str) -> None:
    """M1-M4, M8: each payload gives exactly the events beside it, and they survive the stream's encoding."""
    body = (PAYLOADS / f"{name}.json").read_bytes()
    events = read(body)
    assert [json.loads(encode_event(event)) for event in events] == json.loads((PAYLOADS / f"{name}.expect.json").read_bytes())
    assert events == read(body), "the same input gives the same output"
    for event in events:
        assert decode_event(encode_event(event)) == msgspec.structs.replace(event, raw=b"")
        assert msgspec.structs.replace(event, raw=b"") in [msgspec.structs.replace(other, raw=b"") for other in read(event.raw)]


@pytest.mark.parametrize("name", NAMES)
def test_unknown_fields_change_nothing(name: str) -> None:
    """Meta adds fields without notice, at every level. What is not used at all is known by its bytes alone."""
    found = [read_all(document) for document in (load(name), with_extra(load(name)))]
    nothing = (PayloadIgnored, PayloadQuarantined)
    plain, extra = (
        [type(event) if isinstance(event, nothing) else msgspec.structs.replace(event, raw=b"") for event in one] for one in found
    )
    assert plain == extra


def test_keys_are_never_empty_and_differ() -> None:
    keys = [event.key for name in NAMES for event in read((PAYLOADS / f"{name}.json").read_bytes())]
    assert all(0 < len(key) <= 512 for key in keys)
    assert len(set(keys)) == len(keys)


def test_m1_signature_and_account() -> None:
    """M1."""
    body = (PAYLOADS / "text.json").read_bytes()
    assert CONNECTOR.verify(make_request(body, signed(body)), instagram_settings())
    assert not CONNECTOR.verify(make_request(body, signed(body, "canary-another-one")), instagram_settings())
    assert CONNECTOR.account(instagram_settings()) == received("text").account == ACCOUNT
    assert received("account-of-somebody-else").account == "17841400000000888"
    assert isinstance(one("standby-message"), PayloadIgnored)


def test_m1_a_pages_webhook_is_not_ours() -> None:
    """M1: object ``instagram`` and no other."""
    with pytest.raises(BadPayload, match="not about instagram"):
        read(b'{"object":"page","entry":[{"id":"1"}]}')


def test_m2_echoes_come_inside_messages() -> None:
    """M2: without an app's id and without metadata, with images too."""
    for name in ("echo", "echo-with-image"):
        event = one(name)
        assert isinstance(event, MessageEchoed)
        assert (event.sender.identity.value, event.ours) == (IGSID, "")
    assert isinstance(one("echo-deleted"), MessageDeleted)


def test_m3_what_was_read_is_told_by_id() -> None:
    """M3."""
    event = one("read")
    assert isinstance(event, StatusReported)
    assert (event.message_id, event.status) == ("ig_o1", Status.READ)


@pytest.mark.parametrize(
    ("name", "types"),
    [
        ("story-mention", [Referral, Media]),
        ("text-that-answers-a-story", [Referral, Text]),
        ("share", [Referral, Media, Text]),
        ("post-shared", [Referral, Media]),
        ("share-of-another-site", [Referral]),
        ("reel", [Media]),
        ("like-heart", [Text]),
        ("picture-to-see-once", [Unsupported]),
        ("message-unsupported", [Unsupported]),
    ],
)
def test_m4_what_only_instagram_has(name: str, types: list[type]) -> None:
    """M4: stories and posts are copied where Meta keeps them; a link to anywhere else is only a link."""
    assert [type(part) for part in received(name).parts] == types


def test_m8_the_identity_is_scoped_to_the_account() -> None:
    """M8."""
    assert received("text").sender.identity == Identity("instagram", ACCOUNT, IGSID)


def test_a_comment_is_a_public_message_of_the_same_person() -> None:
    """Comments: with their name, on posts, advertisements and live films; the answer to one names it."""
    comment, private = received("comment"), received("text")
    assert (comment.public, private.public, comment.sender.name) == (True, False, "ada.k")
    assert (comment.sender.identity, comment.thread) == (private.sender.identity, private.thread)
    assert comment.message_id == "comment:18010000000000001"
    assert received("comment-that-answers-a-comment").reply_to == comment.message_id
    sources = {name: received(name).parts[0] for name in ("comment", "comment-on-an-advertisement", "comment-live")}
    assert [part.source for part in sources.values() if isinstance(part, Referral)] == ["post", "ad", "live"]
    assert received("comment-directly-in-the-entry").public
    assert isinstance(one("comment-of-ours"), PayloadIgnored)
    assert received("comment-without-author").thread == "comment:18010000000000006"


def test_a_comment_told_twice_is_one() -> None:
    """Comments: a post that is an advertisement, too, may tell of each comment twice."""
    second = load("comment")
    second["entry"][0]["changes"][0]["value"]["media"] |= {"ad_id": "66", "ad_title": "Autumn"}
    assert read_all(second)[0].key == one("comment").key


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_any_value_anywhere_gives_events_or_bad_payload(data: st.DataObject) -> None:
    """C03: and never an event that cannot be stored."""
    document = load(data.draw(st.sampled_from(NAMES)))
    path = data.draw(st.sampled_from(places(document)))
    wrong: st.SearchStrategy[Any] = st.sampled_from([None, True, 5, -1, 2**80, "", "x", "\0", [], {}, [[]], "9" * 700])
    try:
        events = read(json.dumps(with_value(document, path, data.draw(wrong))).encode())
    except BadPayload:
        return
    assert events
    for event in events:
        assert 0 < len(event.key) <= 512
        assert b"\\u0000" not in encode_event(event)
