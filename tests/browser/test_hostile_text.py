"""What shoppers and hostile pages may try (bad-input rows B31 and B104-B108): text stays text, and nothing runs."""

import pytest
from aiohttp import web
from playwright.async_api import Page, expect

from tests.browser.conftest import People
from tests.browser.test_round_trip import answer, write_in_chat
from tests.support.serving import serving

pytestmark = pytest.mark.browser

HOSTILE = (
    '<img src=x onerror="alert(1)">',
    "<script>alert(2)</script>",
    "</script><svg onload=alert(3)>",
    "{{7*7}} ${7*7} %s {0.__class__}",
    "line\u2028separator\u2029end",
    "\u202egnp.exe",
)
LINKS = ("javascript:alert(4)", "data:text/html,<script>alert(5)</script>", "\x01javascript:alert(6)", "//evil.example/x", "vbscript:x")


async def open_conversation(people: People) -> tuple[Page, Page]:
    inbox, shop = await people.inbox(), await people.page("/")
    await shop.get_by_role("button", name="Open chat").click()
    await write_in_chat(shop, "hello")
    await inbox.get_by_text("hello").first.click()
    return inbox, shop


async def test_b31_b108_hostile_text_is_shown_as_it_is(people: People) -> None:
    inbox, shop = await open_conversation(people)
    for count, text in enumerate(HOSTILE, 1):
        await write_in_chat(shop, text)
        shown = inbox.get_by_role("log").locator("p, span, div").filter(has_text=text.replace("\u2028", " ").replace("\u2029", " ")[:12])
        await expect(shown.first).to_be_visible()
        await answer(inbox, f"you wrote {text}")
        # An answer that crosses the next message would be refused: the agent has not seen it.
        await expect(shop.get_by_role("log").get_by_text("you wrote")).to_have_count(count)
    for page in (inbox, shop):
        assert await page.get_by_role("log").locator("img[src='x'], script, svg[onload]").count() == 0
    assert await inbox.get_by_role("log").get_by_text("{{7*7}} ${7*7} %s {0.__class__}").count() >= 2
    assert people.trouble == [], people.refused


async def test_b31_a_hostile_name_is_shown_as_it_is(people: People) -> None:
    inbox, phone = await people.inbox(), await people.page("/phone/")
    await phone.get_by_placeholder("Name").fill('<img src=x onerror="alert(7)">')
    await phone.get_by_role("button", name="Add").click()
    await phone.get_by_role("textbox", name="Message").fill("who am I")
    await phone.get_by_role("button", name="Send", exact=True).click()
    await inbox.get_by_text("who am I").first.click()
    await expect(inbox.get_by_text('<img src=x onerror="alert(7)">').first).to_be_visible()
    assert people.trouble == [], people.refused


async def test_b106_only_honest_addresses_become_links(people: People) -> None:
    inbox, shop = await open_conversation(people)
    await write_in_chat(shop, "see " + " ".join((*LINKS, "https://shop.example/jacket")))
    for page in (inbox, shop):
        link = page.get_by_role("log").get_by_role("link")
        await expect(link).to_have_count(1)
        assert await link.get_attribute("href") == "https://shop.example/jacket"
        assert {"noopener", "noreferrer"} <= set((await link.get_attribute("rel") or "").split())
        assert "shop.example" in await link.inner_text()


async def test_b105_messages_from_other_windows_are_ignored(people: People) -> None:
    inbox, shop = await open_conversation(people)

    async def page_of_an_attacker(_: web.Request) -> web.Response:
        return web.Response(text="<title>attacker</title>", content_type="text/html")

    app = web.Application()
    app.router.add_get("/", page_of_an_attacker)
    async with serving(app) as attacker:
        for victim in (inbox, shop):
            page = await victim.context.new_page()
            await page.goto(attacker)
            async with page.expect_popup() as popup:
                await page.evaluate("(url) => { window.victim = window.open(url) }", victim.url)
            opened = await popup.value
            people.watch(opened)
            await opened.wait_for_load_state("networkidle")
            await page.evaluate(
                """() => { for (const data of ['open', {type: 'message', text: 'fake'}, {type: 'open', url: 'javascript:alert(8)'},
                    {type: 'hello', token: 'fake'}, 'x'.repeat(1e6)]) window.victim.postMessage(data, '*') }"""
            )
            await opened.wait_for_timeout(300)
            assert "fake" not in await opened.content()
            assert len(people.contexts) == 2
    assert people.trouble == [], people.refused


async def test_b107_the_inbox_cannot_be_framed(people: People) -> None:
    async def page_of_an_attacker(_: web.Request) -> web.Response:
        text = f"<iframe id=victim src='{people.url}/inbox/' width=800 height=600></iframe>"
        return web.Response(text=text, content_type="text/html")

    app = web.Application()
    app.router.add_get("/", page_of_an_attacker)
    async with serving(app) as attacker:
        context = await people.context()
        page = await context.new_page()
        await page.goto(attacker)
        frame = page.frame_locator("#victim")
        await page.wait_for_timeout(500)
        assert await frame.get_by_role("textbox").count() == 0
        assert await frame.get_by_role("button").count() == 0


async def test_b104_a_hostile_host_page_cannot_break_the_chat(people: People) -> None:
    """Its scripts and styles are hostile or merely old; the chat in its corner works."""
    context = await people.context()
    await context.add_init_script(
        "Object.prototype.polluted = 'x'; Array.prototype.map = Array.prototype.map; "
        "document.addEventListener('DOMContentLoaded', () => { const style = document.createElement('style');"
        "style.textContent = '* { display: none !important }'; });"
    )
    inbox, shop = await people.inbox(), await people.page("/", context)
    await shop.evaluate(
        "() => { const sheet = new CSSStyleSheet(); sheet.replaceSync('div, p, button { display: none !important }');"
        "document.adoptedStyleSheets = [sheet]; }"
    )
    await shop.get_by_role("button", name="Open chat").click()
    await write_in_chat(shop, "still here")
    await expect(inbox.get_by_text("still here").first).to_be_visible()
