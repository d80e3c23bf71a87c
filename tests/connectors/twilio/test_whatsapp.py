"""WhatsApp through Twilio, by its client."""

from datetime import UTC, datetime, timedelta

import pytest
import structlog

from connectors.content import Location, Template, Text
from connectors.contract import Failure, Outbound, Sent
from connectors.errors import FailureKind
from connectors.event import MessageReceived
from connectors.twilio.simulator import Template as Stored
from connectors.whatsapp_twilio import CONNECTOR as WHATSAPP
from tests.support.pictures import PNG
from tests.support.twilio import Bench
from tests.support.twilio_sends import ADA, PHOTO, WA, send_whatsapp, statuses
from tests.support.waiting import until


@pytest.fixture
async def talking(bench: Bench) -> Bench:
    """Ada has just written by WhatsApp: the window is open."""
    await bench.phone.person(WA)
    await bench.phone.say(WA, "ciao")
    await until(lambda: len(bench.inbox.requests) == 1)
    bench.inbox.requests.clear()
    return bench


async def test_whatsapp_text_read_and_delivered(talking: Bench) -> None:
    assert isinstance(await send_whatsapp(talking, Text(text="Sì")), Sent)
    await until(lambda: len(talking.inbox.requests) == 2)
    await talking.phone.act(WA, "read")
    await until(lambda: len(talking.inbox.requests) == 3)
    settings, _ = talking.whatsapp()
    assert [event.status for event in statuses(talking, WHATSAPP, settings)] == ["sent", "delivered", "read"]


async def test_whatsapp_files_and_places(talking: Bench) -> None:
    assert isinstance(await send_whatsapp(talking, PHOTO, Text(text="look")), Sent)
    assert isinstance(await send_whatsapp(talking, Location(latitude=45.4642, longitude=9.19, name="Duomo")), Sent)
    await until(lambda: len(talking.inbox.requests) == 4)
    # A file takes its time: what is sent after it may be there before it.
    lines = {line["text"]: line for line in await talking.phone.lines(WA)}
    photo, place = lines["look"], lines["Duomo"]
    assert photo["files"][0]["size"] == len(PNG)
    assert (place["location"]["latitude"], place["location"]["name"]) == (45.4642, "Duomo")


async def test_tw3_a_closed_window_shows_later(bench: Bench) -> None:
    """TW3: 63016 comes in the status, never in the answer; a template goes through."""
    await bench.phone.person(WA)
    assert isinstance(await send_whatsapp(bench, Text(text="hello?")), Sent)
    await until(lambda: len(bench.inbox.requests) == 1)
    settings, _ = bench.whatsapp()
    (report,) = statuses(bench, WHATSAPP, settings)
    assert (report.status, report.code, report.failure) == ("failed", "63016", FailureKind.WINDOW)
    assert isinstance(await send_whatsapp(bench, Template(name="order_ready", language="en", parameters=("Ada", "7"))), Sent)
    await until(lambda: len(bench.inbox.requests) == 3)
    assert [line["text"] for line in await bench.phone.lines(WA)] == ["Hello Ada, your order 7 is ready."]


async def test_tw3_nobody_there_and_blocked(bench: Bench) -> None:
    assert isinstance(await send_whatsapp(bench, Template(name="order_ready", language="en")), Sent)
    await until(lambda: len(bench.inbox.requests) == 1)
    settings, _ = bench.whatsapp()
    assert [event.failure for event in statuses(bench, WHATSAPP, settings)] == [FailureKind.RECIPIENT]
    await bench.phone.person(WA)
    await bench.phone.act(WA, "block", blocked=True)
    assert isinstance(await send_whatsapp(bench, Template(name="order_ready", language="en")), Sent)
    await until(lambda: len(bench.inbox.requests) == 2)
    assert statuses(bench, WHATSAPP, settings)[-1].failure is FailureKind.OPTED_OUT


async def test_tw5_templates_are_listed_and_found_by_name(bench: Bench) -> None:
    """TW5: by name and language; the SID is looked up."""
    for number in range(3):
        bench.place.add_template(Stored(name="many", language=f"x{number}", body="{{2}} before {{1}}, {{name}}", status="pending"))
    _, client = bench.whatsapp()
    found = await client.templates()
    ready = next(one for one in found if one.name == "order_ready")
    assert (ready.language, ready.status, ready.category, ready.parameters) == ("en", "approved", "utility", ("1", "2"))
    assert ready.id.startswith("HX")
    buttons = next(one for one in found if one.name == "still_there")
    assert buttons.buttons == ("Yes, please", "No, thanks")
    many = [one for one in found if one.name == "many"]
    assert [(one.status, one.parameters) for one in many] == [("pending", ("1", "2", "name"))] * 3
    outcome = await send_whatsapp(bench, Template(name="many", language="x9"))
    assert isinstance(outcome, Failure)
    assert (outcome.kind, outcome.code) == (FailureKind.INVALID, "63027")
    assert isinstance(await send_whatsapp(bench, Template(name=ready.id, language="")), Sent)
    wrong = await send_whatsapp(bench, Template(name="HX" + "0" * 32, language=""))
    assert isinstance(wrong, Failure)
    assert wrong.code == "21655"


async def test_tw5_the_list_of_templates_that_cannot_be_had(bench: Bench) -> None:
    await bench.phone.fault("500", on="content", count=2)
    _, client = bench.whatsapp()
    with pytest.raises(OSError, match="templates"):
        await client.templates()
    outcome = await send_whatsapp(bench, Template(name="order_ready", language="en"))
    assert isinstance(outcome, Failure)
    assert outcome.kind is FailureKind.TRANSIENT, "nothing was sent"
    assert not bench.place.messages


async def test_tw5_a_lost_template_is_found_by_what_fills_it(talking: Bench) -> None:
    settings, client = talking.whatsapp()
    template = Template(name="order_ready", language="en", parameters=("Ada", "order-77"))
    (call,) = WHATSAPP.render(Outbound(id="m", to=ADA, parts=(template,)), settings)
    await talking.phone.fault("reset_after")
    await client.send(call)
    found = await client.find_sent(call, datetime.now(UTC) - timedelta(seconds=5))
    assert found == [list(talking.place.messages)[-1]]


async def test_tw6_typing_marks_as_read(talking: Bench) -> None:
    (line,) = await talking.phone.lines(WA)
    _, client = talking.whatsapp()
    await client.show_typing(ADA, line["id"])
    (line,) = await talking.phone.lines(WA)
    assert line["extra"]["read_by_shop"]
    with structlog.testing.capture_logs() as lines:
        await client.show_typing(ADA, "SM-nobody")
    assert [entry["event"] for entry in lines] == ["twilio.typing_not_shown"]


async def test_tw6_a_button_comes_back_as_a_choice(talking: Bench) -> None:
    assert isinstance(await send_whatsapp(talking, Template(name="still_there", language="en")), Sent)
    await until(lambda: len(talking.inbox.requests) == 2)
    line = (await talking.phone.lines(WA))[-1]
    await talking.phone.act(WA, "press", line=line["id"], option="yes")
    await until(lambda: len(talking.inbox.requests) == 3)
    settings, _ = talking.whatsapp()
    (event,) = WHATSAPP.parse(talking.inbox.requests[-1], settings)
    assert isinstance(event, MessageReceived)
    assert (event.reply_to, event.parts[0]) == (line["id"], event.parts[0])
    assert "yes" in str(event.parts[0])
