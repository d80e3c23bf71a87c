"""The whole way, seen by people: shop and phone on one side, the agents' inbox on the other."""

import pytest
from playwright.async_api import Page, expect

from tests.browser.conftest import People

pytestmark = pytest.mark.browser


async def write_in_chat(shop: Page, text: str) -> None:
    await shop.get_by_role("textbox", name="Message").fill(text)
    await shop.get_by_role("button", name="Send", exact=True).click()


async def answer(inbox: Page, text: str) -> None:
    await inbox.get_by_role("textbox", name="Reply").fill(text)
    await inbox.keyboard.press("Enter")


async def test_web_chat_there_and_back_and_after_a_reload(people: People) -> None:
    inbox = await people.inbox()
    await expect(inbox.get_by_text("Live", exact=True)).to_be_visible()
    shop = await people.page("/")
    await shop.get_by_role("button", name="Open chat").click()
    await write_in_chat(shop, "Is the green jacket there in M?")

    await inbox.get_by_text("Is the green jacket there in M?").first.click()  # no reload in between
    await answer(inbox, "Yes, two are left.")
    log = shop.get_by_role("log", name="Conversation")
    await expect(log.get_by_text("Yes, two are left.")).to_be_visible()
    await expect(log.get_by_text("Ada").first).to_be_visible()

    await shop.reload()
    await shop.get_by_role("button", name="Open chat").click()
    await expect(log.get_by_text("Is the green jacket there in M?")).to_be_visible()
    await expect(log.get_by_text("Yes, two are left.")).to_be_visible()
    await write_in_chat(shop, "Thank you!")
    await expect(inbox.get_by_role("log").get_by_text("Thank you!")).to_be_visible()
    assert people.trouble == [], people.refused


async def test_an_answer_is_waiting_behind_the_closed_chat(people: People) -> None:
    inbox, shop = await people.inbox(), await people.page("/")
    await shop.get_by_role("button", name="Open chat").click()
    await write_in_chat(shop, "Hello?")
    await expect(shop.get_by_role("log").get_by_text("Hello?")).to_be_visible()
    await inbox.get_by_text("Hello?").first.click()
    await shop.get_by_role("dialog").get_by_role("button", name="Close chat").click()
    await answer(inbox, "Good morning!")
    await expect(shop.locator(".badge")).to_have_text("1")
    await shop.get_by_role("button", name="Open chat").click()
    await expect(shop.get_by_role("log").get_by_text("Good morning!")).to_be_visible()
    await expect(shop.locator(".badge")).to_have_count(0)


async def test_what_was_typed_without_a_connection_is_sent_later(people: People) -> None:
    context = await people.context()
    inbox, shop = await people.inbox(), await people.page("/", context)
    await shop.get_by_role("button", name="Open chat").click()
    await write_in_chat(shop, "first")
    await expect(inbox.get_by_text("first").first).to_be_visible()
    await context.set_offline(True)
    await write_in_chat(shop, "typed in the tunnel")
    await context.set_offline(False)
    await inbox.get_by_text("first").or_(inbox.get_by_text("typed in the tunnel")).first.click()
    await expect(inbox.get_by_role("log").get_by_text("typed in the tunnel")).to_have_count(1, timeout=40_000)


async def test_telegram_there_and_back_with_photo_and_edit(people: People) -> None:
    inbox, phone = await people.inbox(), await people.page("/phone/")
    await phone.get_by_placeholder("Name").fill("Cleo")
    await phone.get_by_role("button", name="Add").click()
    await phone.get_by_role("textbox", name="Message").fill("Ciao, siete aperti?")
    await phone.get_by_role("button", name="Send", exact=True).click()
    await inbox.get_by_text("Ciao, siete aperti?").first.click()
    await answer(inbox, "Sì, fino alle 19.")
    await expect(phone.get_by_role("log").get_by_text("Sì, fino alle 19.")).to_be_visible()
    await phone.get_by_role("button", name="Attach").click()
    await phone.get_by_role("menuitem").first.click()
    await expect(inbox.get_by_role("log").locator("img").first).to_be_visible()
    assert people.trouble == [], people.refused


async def test_the_inbox_by_keyboard_in_three_languages(people: People) -> None:
    inbox, shop = await people.inbox(), await people.page("/")
    await shop.get_by_role("button", name="Open chat").click()
    await write_in_chat(shop, "by keyboard")
    await expect(inbox.get_by_text("by keyboard").first).to_be_visible()
    await inbox.keyboard.press("j")
    await expect(inbox.get_by_role("log").get_by_text("by keyboard")).to_be_visible()
    await inbox.keyboard.press("r")
    await inbox.keyboard.type("answered by keyboard")
    await inbox.keyboard.press("Enter")
    await expect(inbox.get_by_role("log").get_by_text("answered by keyboard")).to_be_visible()
    for language, placeholder, reason in (
        ("it-IT", "Scrivi la risposta…", "Nessun membro della coda è libero."),
        ("pl-PL", "Napisz odpowiedź…", "Nikt z kolejki nie jest teraz wolny."),
    ):
        signed_in = {**await inbox.context.storage_state(), "origins": []}  # the session, but not the language chosen so far
        context = await people.browser.new_context(locale=language, storage_state=signed_in)  # type: ignore[arg-type]
        people.contexts.append(context)
        elsewhere = await people.page("/inbox/", context)
        await elsewhere.locator("nav.sidebar button").nth(2).click()  # all open ones
        await elsewhere.locator("section.list").get_by_text("answered by keyboard").first.click()
        await expect(elsewhere.get_by_placeholder(placeholder)).to_be_visible()
        await expect(elsewhere.get_by_text(reason)).to_be_visible()
