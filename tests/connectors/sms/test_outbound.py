"""Our messages as SMS."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.content import AnyPart, Choice, Choices, ContactCard, Location, Media, MediaKind, Template, Text
from connectors.contract import Call, Outbound
from connectors.errors import Inexpressible
from connectors.sms import CONNECTOR
from connectors.text import Unit, length
from connectors.twilio.segments import count
from tests.support.twilio import NUMBER, SERVICE, sms_settings

PHOTO = Media(kind=MediaKind.IMAGE, ref="med_1", mime="image/jpeg", name="photo.jpg", size=1000)
ZIP = Media(kind=MediaKind.FILE, ref="med_2", mime="application/zip", name="all.zip", size=9)


def message(*parts: AnyPart, to: str = "+393351234567", callback: str = "") -> Outbound:
    return Outbound(id="msg_01", to=to, parts=parts, callback=callback)


def calls(*parts: AnyPart, callback: str = "", **changes: Any) -> list[Call]:
    return list(CONNECTOR.render(message(*parts, callback=callback), sms_settings(**changes)))


def test_text() -> None:
    (call,) = calls(Text(text="Ciao!"))
    assert call.form == {"To": "+393351234567", "From": NUMBER, "Body": "Ciao!"}
    assert (call.bucket, call.part, call.segments) == ("+393351234567", 0, 1)


def test_t12_the_callback_carries_our_id_and_the_part() -> None:
    """T12: characters that would spoil the address are quoted."""
    first, second = calls(Text(text="a" * 1600 + " b"), callback="https://shop.example.org/webhooks/shop")
    assert (first.form or {})["StatusCallback"] == "https://shop.example.org/webhooks/shop?m=msg_01&p=0"
    assert (second.form or {})["StatusCallback"] == "https://shop.example.org/webhooks/shop?m=msg_01&p=1"
    odd = CONNECTOR.render(Outbound(id="a b&c", to="+393351234567", parts=(Text(text="x"),), callback="https://x/w?a=1"), sms_settings())[0]
    assert (odd.form or {})["StatusCallback"] == "https://x/w?a=1&m=a%20b%26c&p=0"


def test_a_messaging_service_picks_the_sender() -> None:
    (call,) = calls(Text(text="Ciao!"), number="", messaging_service_sid=SERVICE)
    assert call.form == {"To": "+393351234567", "MessagingServiceSid": SERVICE, "Body": "Ciao!"}
    (both,) = calls(Text(text="Ciao!"), messaging_service_sid=SERVICE)
    assert (both.form or {})["From"] == NUMBER


@pytest.mark.parametrize(("size", "pieces"), [(1599, 1), (1600, 1), (1601, 2), (16_000, 10)])
def test_t11_at_most_1600_in_one_message(size: int, pieces: int) -> None:
    """T11: error 21617 never comes."""
    found = calls(Text(text="a" * size))
    assert len(found) == pieces
    assert [call.part for call in found] == list(range(pieces))
    assert "".join((call.form or {})["Body"] for call in found) == "a" * size


def test_t11_segments_are_counted() -> None:
    assert [call.segments for call in calls(Text(text="a" * 161))] == [2]
    assert [call.segments for call in calls(Text(text="ь" * 71))] == [2]
    (smart,) = calls(Text(text="“" + "a" * 100), smart_encoding=True)
    assert (smart.segments, (smart.form or {})["SmartEncoded"]) == (1, "true")
    assert calls(Text(text="“" + "a" * 100))[0].segments == 2


@given(st.text(min_size=1).filter(lambda text: bool(text.strip())))
def test_any_text_goes_out_within_the_limit(text: str) -> None:
    for call in calls(Text(text=text)):
        body = (call.form or {})["Body"]
        assert 0 < length(body, Unit.UTF16) <= 1600
        assert call.segments == count(body)
        body.encode()


def test_t11_a_file_by_mms_with_its_caption() -> None:
    (call,) = calls(PHOTO, Text(text="like this"), mms=True)
    assert (call.form or {})["Body"] == "like this"
    assert [(upload.field, upload.stored) for upload in call.uploads] == [("MediaUrl", "med_1")]
    assert call.segments == 1
    two = calls(PHOTO, PHOTO, mms=True)
    assert [len(one.uploads) for one in two] == [1, 1], "never more than ten in one message"


@pytest.mark.parametrize(
    ("media", "words"),
    [
        (Media(kind=MediaKind.IMAGE, ref="med_1", mime="image/png", size=5_000_001), "5,000,000"),
        (Media(kind=MediaKind.FILE, ref="med_1", mime="application/pdf", name="a.pdf", size=500_001), "500,000"),
        (Media(kind=MediaKind.FILE, ref="med_1", mime="application/zip", name="a.zip", size=5), "application/zip"),
        (Media(kind=MediaKind.IMAGE, ref="", mime="image/png", name="a.png"), "not stored"),
    ],
)
def test_t11_what_mms_does_not_carry_is_refused_in_words(media: Media, words: str) -> None:
    with pytest.raises(Inexpressible, match=words):
        calls(media, mms=True)


def test_without_mms_a_file_is_refused_or_goes_as_a_link() -> None:
    with pytest.raises(Inexpressible, match="media_links"):
        calls(PHOTO)
    (call,) = calls(PHOTO, Text(text="like this"), media_links=True)
    assert (call.form or {})["Body"] == "like this"
    assert [upload.field for upload in call.uploads] == ["Body"]
    both = [call.uploads[0].field for media in (PHOTO, ZIP) for call in calls(media, mms=True, media_links=True)]
    assert both == ["MediaUrl", "Body"], "what MMS does not carry goes as a link"
    (alone,) = calls(ZIP, media_links=True)
    assert (alone.form or {})["Body"] == "all.zip"


@pytest.mark.parametrize(
    "to", ["88202", "POSTE", "", "+1", "whatsapp:+393351234567", "rcs:+393351234567", "+39 335 1234567", "393351234567"]
)
def test_t8_what_is_no_phone_cannot_be_answered(to: str) -> None:
    """T8: short codes and names."""
    with pytest.raises(Inexpressible, match="cannot be answered"):
        CONNECTOR.render(message(Text(text="x"), to=to), sms_settings())


def test_what_sms_has_not_is_said_in_words() -> None:
    question = Choices(text="Which size?", options=(Choice("m", "Medium"), Choice("l", "Large")))
    place = Location(latitude=45.4642, longitude=9.19, name="Duomo")
    card = ContactCard(name="Ada", phones=("+391",), emails=("ada@example.org",))
    bodies = [(call.form or {})["Body"] for call in calls(question, place, card)]
    assert bodies[0] == "Which size?\n1) Medium\n2) Large"
    assert "openstreetmap.org" in bodies[1]
    assert bodies[2] == "Ada\n+391\nada@example.org"
    with pytest.raises(Inexpressible, match="template"):
        calls(Template(name="x", language="en"))


def test_halves_of_characters_and_nul_do_no_harm() -> None:
    (call,) = calls(Text(text="a\ud83db\0c"))
    assert (call.form or {})["Body"] == "a\ufffdb\ufffdc"
