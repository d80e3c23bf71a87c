"""Our messages as WhatsApp messages through Twilio."""

import json

import pytest

from connectors.capabilities import open_window
from connectors.content import AnyPart, Choice, Choices, Location, Media, MediaKind, Template, Text
from connectors.contract import Call, Outbound
from connectors.errors import Inexpressible
from connectors.whatsapp_twilio import CAPABILITIES, CONNECTOR
from tests.support.twilio import NUMBER, SERVICE, whatsapp_settings

SID = "HX" + "0123456789abcdef" * 2


def calls(*parts: AnyPart, to: str = "+393351234567") -> list[Call]:
    return list(CONNECTOR.render(Outbound(id="msg_01", to=to, parts=parts), whatsapp_settings()))


def test_tw1_addresses() -> None:
    """TW1: a phone with a plus, a user's id without."""
    assert calls(Text(text="x"))[0].form == {"To": "whatsapp:+393351234567", "From": f"whatsapp:{NUMBER}", "Body": "x"}
    assert (calls(Text(text="x"), to="US.1349ab")[0].form or {})["To"] == "whatsapp:US.1349ab"
    with pytest.raises(Inexpressible, match="no WhatsApp address"):
        calls(Text(text="x"), to="nobody")
    pool = whatsapp_settings(number="", messaging_service_sid=SERVICE)
    (call,) = CONNECTOR.render(Outbound(id="m", to="+393351234567", parts=(Text(text="x"),)), pool)
    assert call.form == {"To": "whatsapp:+393351234567", "MessagingServiceSid": SERVICE, "Body": "x"}


@pytest.mark.parametrize(
    ("media", "together"),
    [
        (Media(kind=MediaKind.IMAGE, ref="med_1", mime="image/jpeg", size=9), True),
        (Media(kind=MediaKind.VIDEO, ref="med_1", mime="video/mp4", size=9), True),
        (Media(kind=MediaKind.AUDIO, ref="med_1", mime="audio/mpeg", size=9), False),
        (Media(kind=MediaKind.FILE, ref="med_1", mime="application/pdf", name="a.pdf", size=9), False),
        (Media(kind=MediaKind.STICKER, ref="med_1", mime="image/webp", size=9), False),
    ],
)
def test_tw4_one_file_a_message_and_captions_where_there_are(media: Media, *, together: bool) -> None:
    """TW4: a document has neither name nor caption at Twilio: its words go apart."""
    found = calls(media, Text(text="words"))
    assert len(found) == (1 if together else 2)
    assert [len(call.uploads) for call in found] == ([1] if together else [1, 0])
    assert (found[-1].form or {})["Body"] == "words"


@pytest.mark.parametrize(
    ("media", "words"),
    [
        (Media(kind=MediaKind.IMAGE, ref="m", mime="image/png", size=5_000_001), "5,000,000"),
        (Media(kind=MediaKind.VIDEO, ref="m", mime="video/mp4", size=16_000_001), "16,000,000"),
        (Media(kind=MediaKind.FILE, ref="m", mime="application/zip", name="a.zip", size=5), "application/zip"),
        (Media(kind=MediaKind.IMAGE, ref="m", mime="image/gif", size=5), "image/gif"),
    ],
)
def test_tw4_sizes_and_types(media: Media, words: str) -> None:
    with pytest.raises(Inexpressible, match=words):
        calls(media)


def test_tw4_text_is_still_1600() -> None:
    assert [len((call.form or {})["Body"]) for call in calls(Text(text="a" * 3201))] == [1600, 1600, 1]


def test_tw5_a_template_is_a_sid_and_an_object_of_strings() -> None:
    (call,) = calls(Template(name=SID, language="it", parameters=("Ada", "1001")))
    assert (call.form or {})["ContentSid"] == SID
    assert json.loads((call.form or {})["ContentVariables"]) == {"1": "Ada", "2": "1001"}
    (named,) = calls(Template(name=SID, language="it", parameters=("Ada",), names=("customer",)))
    assert json.loads((named.form or {})["ContentVariables"]) == {"customer": "Ada"}
    (plain,) = calls(Template(name=SID, language="it"))
    assert "ContentVariables" not in (plain.form or {})


def test_tw5_a_template_by_name_keeps_its_language_for_the_look_up() -> None:
    (call,) = calls(Template(name="order_ready", language="it"))
    assert ((call.form or {})["ContentSid"], (call.form or {})["ContentLanguage"]) == ("order_ready", "it")
    with pytest.raises(Inexpressible, match="numbered"):
        calls(Template(name="order_ready", language="it", buttons=("x",)))


def test_quick_replies_go_as_text() -> None:
    (call,) = calls(Choices(text="Which?", options=(Choice("a", "A"), Choice("b", "B"))))
    assert (call.form or {})["Body"] == "Which?\n1) A\n2) B"


def test_a_location_is_an_action() -> None:
    (call,) = calls(Location(latitude=45.4642, longitude=9.19, name="Duo|mo", address="Piazza 1"))
    assert (call.form or {})["PersistentAction"] == "geo:45.464200,9.190000|Duo mo"
    assert (call.form or {})["Body"] == "Piazza 1"
    assert (calls(Location(latitude=1, longitude=2))[0].form or {})["Body"] == "1.00000, 2.00000"


@pytest.mark.parametrize(("age", "name"), [(0, "session"), (86_399, "session"), (86_400, "template"), (None, "template")])
def test_tw3_the_window_is_data(age: float | None, name: str) -> None:
    window = open_window(CAPABILITIES.windows, age)
    assert window is not None
    assert window.name == name
    assert ("text" in window.sends) is (name == "session")
