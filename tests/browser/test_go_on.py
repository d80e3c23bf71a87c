"""A visitor goes on in Telegram, and the agent sees one person."""

import re

import pytest
from playwright.async_api import expect

from tests.browser.conftest import People
from tests.browser.test_web_chat import talking

pytestmark = pytest.mark.browser


async def test_a_visitor_goes_on_in_telegram_and_is_known_there(people: People) -> None:
    shop, inbox = await talking(people, "Is the blue one back?")
    async with shop.expect_popup() as opening:
        await shop.get_by_role("button", name="Go on in Telegram (simulated)").click()
    door = await opening.value
    await expect(door.locator("body")).to_contain_text("/start ")
    found = re.search(r"/start [A-Za-z0-9_-]{56}", await door.locator("body").inner_text())
    assert found is not None
    control = f"{people.url}/sim/telegram/control"
    user = (await (await shop.request.post(f"{control}/users", data={"first_name": "Cleo"})).json())["user_id"]
    assert (await shop.request.post(f"{control}/users/{user}/message", data={"text": found[0]})).ok
    await expect(inbox.get_by_role("log").get_by_text("The shopper continued on Telegram (simulated)")).to_be_visible()
    assert people.trouble == [], people.refused
