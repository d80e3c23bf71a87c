"""Every channel on the phone page: there and back with a photo, by clicking; the provider is simulated, all else is real."""

import pytest
from playwright.async_api import Page, expect

from gateway import simulated
from tests.browser.conftest import People
from tests.browser.test_round_trip import answer

pytestmark = pytest.mark.browser

_NAMES = {
    "telegram": "Telegram",
    "sms": "SMS",
    "whatsapp": "WhatsApp",
    "whatsapp_twilio": "WhatsApp (Twilio)",
    "email": "E-mail",
    "messenger": "Messenger",
    "instagram": "Instagram",
}


async def _person(phone: Page, kind: str, name: str) -> None:
    await phone.get_by_role("group", name="Channel").get_by_role("button", name=_NAMES[kind], exact=True).click()
    await phone.get_by_placeholder("Name").fill(name)
    await phone.get_by_role("button", name="Add", exact=True).click()
    await expect(phone.get_by_role("textbox", name="Message")).to_be_visible()


async def _write(phone: Page, text: str) -> None:
    await phone.get_by_role("textbox", name="Message").fill(text)
    await phone.get_by_role("button", name="Send", exact=True).click()
    await expect(phone.get_by_role("log").get_by_text(text)).to_be_visible()


@pytest.mark.parametrize("kind", sorted(_NAMES))
async def test_a_shopper_is_answered_on_their_own_channel(people: People, kind: str) -> None:
    inbox, phone = await people.inbox(), await people.page("/phone/")
    await _person(phone, kind, "Cleo")
    question, reply = f"Do you ship to Elba? {kind}", f"Yes, within two days. {kind}"
    await _write(phone, question)
    await inbox.get_by_text(question).first.click()
    await answer(inbox, reply)
    await expect(phone.get_by_role("log").get_by_text(reply)).to_be_visible()
    await expect(inbox.locator(".line.outbound .tick.sent, .line.outbound .tick.delivered, .line.outbound .tick.read")).to_have_count(1)
    await phone.get_by_role("button", name="Attach").click()
    await phone.get_by_role("menuitem").first.click()
    await expect(inbox.get_by_role("log").locator("img").first).to_be_visible()
    assert people.trouble == [], people.refused


def test_every_simulated_channel_is_tried() -> None:
    assert {one.kind for one in simulated.providers()} == set(_NAMES)


async def test_a_phone_without_network_gets_and_sends_later(people: People) -> None:
    inbox, phone = await people.inbox(), await people.page("/phone/")
    await _person(phone, "whatsapp", "Dino")
    await _write(phone, "before the tunnel")
    await inbox.get_by_text("before the tunnel").first.click()
    await phone.get_by_role("button", name="Lose network").click()
    await _write(phone, "from the tunnel")
    await answer(inbox, "to the tunnel")
    await expect(inbox.locator(".line.outbound .tick.sent")).to_have_count(1)
    await expect(inbox.get_by_role("log").get_by_text("from the tunnel")).to_have_count(0)
    await phone.get_by_role("button", name="Find network").click()
    await expect(inbox.get_by_role("log").get_by_text("from the tunnel")).to_be_visible()
    await expect(inbox.locator(".line.outbound .tick.read")).to_have_count(1)
    assert people.trouble == [], people.refused
