"""The web chat in a real browser: files, typing, a blocked WebSocket, consent, two tabs (checklist lines C3 to C6)."""

import re
import struct
import zlib

import pytest
from playwright.async_api import BrowserContext, FilePayload, Page, Route, expect

from tests.browser.conftest import People

pytestmark = pytest.mark.browser


def picture(width: int = 240, height: int = 160, colour: bytes = b"\xd8\x90\x50") -> bytes:
    """A PNG of one colour."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack("!I", len(data)) + kind + data + struct.pack("!I", zlib.crc32(kind + data))

    rows = (b"\0" + colour * width) * height
    head = struct.pack("!IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def file(name: str, data: bytes, mime: str = "application/octet-stream") -> FilePayload:
    """Something to pick."""
    return {"name": name, "mimeType": mime, "buffer": data}


async def opened(people: People, context: BrowserContext | None = None) -> Page:
    """The shop with its chat open and connected."""
    shop = await people.page("/", context)
    await shop.get_by_role("button", name="Open chat").click()
    await expect(shop.get_by_text("We are here to help")).to_be_visible()
    return shop


async def write(shop: Page, text: str) -> None:
    await shop.get_by_role("textbox", name="Message").fill(text)
    await shop.get_by_role("button", name="Send", exact=True).click()


async def talking(people: People, text: str = "Hello") -> tuple[Page, Page]:
    """A shop and an inbox in one conversation."""
    inbox, shop = await people.inbox(), await opened(people)
    await write(shop, text)
    await inbox.get_by_text(text).first.click()
    await expect(inbox.get_by_role("log").get_by_text(text)).to_be_visible()
    return shop, inbox


async def is_shown(page: Page, selector: str) -> None:
    """A picture that has really been loaded."""
    image = page.locator(selector).last
    await expect(image).to_be_visible()
    await page.wait_for_function("image => image.complete && image.naturalWidth === 240", arg=await image.element_handle())


async def test_files_go_both_ways_with_thumbnails(people: People) -> None:
    """C5: picked, removed, sent; shown to the agent; a picture and a document come back."""
    shop, inbox = await talking(people)
    files = shop.locator("input[type=file]")
    await files.set_input_files([file("torn seam.png", picture(), "image/png"), file("not this.txt", b"x")])
    await expect(shop.locator(".picked li")).to_have_count(2)
    await shop.get_by_role("button", name="Remove not this.txt").click()
    await expect(shop.locator(".picked progress")).to_have_count(0)
    await write(shop, "The seam is torn")
    await is_shown(shop, ".line.mine .picture img")
    await is_shown(inbox, ".line.inbound .picture img")
    await expect(shop.locator(".picked li")).to_have_count(0)
    await expect(shop.locator(".line.mine")).to_have_count(2)

    for name, data in (("new one.png", picture(colour=b"\x20\x70\x60")), ("returns.pdf", b"%PDF-1.7 x")):
        await inbox.locator(".composer input[type=file]").set_input_files([file(name, data)])
    await is_shown(shop, ".line.theirs .picture img")
    card = shop.locator(".line.theirs a.card")
    await expect(card).to_contain_text("returns.pdf")
    async with shop.expect_download() as download:
        await card.click()
    assert (await (await download.value).path()).read_bytes() == b"%PDF-1.7 x"
    await shop.reload()
    await shop.get_by_role("button", name="Open chat").click()
    await is_shown(shop, ".line.mine .picture img")
    await is_shown(shop, ".line.theirs .picture img")
    assert people.trouble == [], people.refused


async def test_a_file_that_cannot_go_says_why(people: People) -> None:
    """C5: empty, too large, cut off: in words, and nothing is sent."""
    shop = await opened(people)
    files = shop.locator("input[type=file]")
    await files.set_input_files([file("empty.txt", b"")])
    await expect(shop.get_by_role("alert").get_by_text("This file is empty.")).to_be_visible()
    await files.set_input_files([file("film.bin", b"\0" * (26 * 1024 * 1024 + 300_000))])
    await expect(shop.get_by_text("This file is too large: at most 26.2 MB.")).to_be_visible()

    async def cut(route: Route) -> None:
        await route.abort()

    await shop.route("**/chat/v1/web/files", cut)
    await files.set_input_files([file("lost.txt", b"x")])
    await expect(shop.get_by_text("The file could not be sent. Please try again.")).to_be_visible()
    await expect(shop.get_by_role("button", name="Send", exact=True)).to_be_disabled()


async def test_a_picture_is_pasted(people: People) -> None:
    """C5: from the clipboard, or dropped on the chat."""
    shop = await opened(people)
    give = """([box, kind, bytes]) => {
      const data = new DataTransfer();
      data.items.add(new File([new Uint8Array(bytes)], `${kind}.png`, { type: 'image/png' }));
      const options = { bubbles: true, cancelable: true, composed: true };
      box.dispatchEvent(kind === 'paste' ? new ClipboardEvent('paste', { ...options, clipboardData: data })
                                         : new DragEvent('drop', { ...options, dataTransfer: data }));
    }"""
    box = await shop.get_by_role("textbox", name="Message").element_handle()
    await shop.evaluate(give, [box, "paste", list(picture())])
    await shop.evaluate(give, [box, "drop", list(picture())])
    await expect(shop.locator(".picked img")).to_have_count(2)
    await expect(shop.locator(".picked progress")).to_have_count(0)
    await shop.get_by_role("button", name="Send", exact=True).click()
    await expect(shop.locator(".line.mine .picture img")).to_have_count(2)
    await is_shown(shop, ".line.mine .picture img")
    assert people.trouble == [], people.refused


async def test_each_sees_the_other_typing(people: People) -> None:
    """C6: both ways; it ends with the message, or by itself."""
    shop, inbox = await talking(people)
    await shop.get_by_role("textbox", name="Message").press_sequentially("Is it")
    await expect(inbox.get_by_role("log").get_by_text("is typing…")).to_be_visible()
    await shop.get_by_role("button", name="Send", exact=True).click()
    await expect(inbox.get_by_role("log").get_by_text("Is it")).to_be_visible()
    await expect(inbox.get_by_role("log").get_by_text("is typing…")).to_have_count(0)

    await inbox.get_by_role("textbox", name="Reply").press_sequentially("Yes")
    await expect(shop.get_by_text("Ada is typing…")).to_be_visible()
    await expect(shop.get_by_text("Ada is typing…")).to_have_count(0, timeout=9_000)
    await inbox.get_by_role("textbox", name="Reply").press_sequentially(", it is")
    await expect(shop.get_by_text("Ada is typing…")).to_be_visible()
    await inbox.keyboard.press("Enter")
    await expect(shop.get_by_text("Yes, it is")).to_be_visible()
    await expect(shop.get_by_text("Ada is typing…")).to_have_count(0)
    # A note is the agents' own business.
    await inbox.get_by_role("button", name="Note").click()
    await inbox.get_by_role("textbox", name="Note").press_sequentially("secret")
    await inbox.keyboard.press("Enter")
    await expect(inbox.get_by_role("log").get_by_text("secret")).to_be_visible()
    await expect(shop.get_by_text("Ada is typing…")).to_have_count(0)
    assert people.trouble == [], people.refused


async def test_where_websockets_are_blocked_the_chat_works_all_the_same(people: People) -> None:
    """C4: two refused upgrades, then the stream: text and typing both ways, and back after a cut."""
    context = await people.context()
    blocked = (
        "window.WebSocket = class { constructor() { this.readyState = 3; setTimeout(() => this.onclose?.({ code: 1006 })); } close() {} };"
    )
    await context.add_init_script(blocked)
    inbox, shop = await people.inbox(), await opened(people, context)
    await write(shop, "From a hotel")
    await expect(shop.locator(".line.mine:not(.sending)").get_by_text("From a hotel")).to_be_visible()
    await inbox.get_by_text("From a hotel").first.click()
    await inbox.get_by_role("textbox", name="Reply").press_sequentially("We can")
    await expect(shop.get_by_text("Ada is typing…")).to_be_visible()
    await inbox.keyboard.press("Enter")
    await expect(shop.get_by_role("log").get_by_text("We can")).to_be_visible()
    await context.set_offline(True)
    await write(shop, "In the lift")
    await context.set_offline(False)
    await expect(inbox.get_by_role("log").get_by_text("In the lift")).to_have_count(1, timeout=40_000)


async def test_nothing_is_stored_before_the_visitor_agrees(people: People) -> None:
    """C6: consent before storage, with the shop's privacy page; then the chat begins, and agrees but once."""
    context = await people.context()
    asked: list[str] = []
    context.on("request", lambda request: asked.append(request.url) if "/chat/v1/" in request.url else None)

    async def strict(route: Route) -> None:
        answer = await route.fetch()
        tag = 'data-consent="required" data-privacy-url="/privacy" data-channel='
        await route.fulfill(response=answer, body=(await answer.text()).replace("data-channel=", tag))

    await context.route(people.url + "/", strict)
    shop = await people.page("/", context)
    await shop.get_by_role("button", name="Open chat").click()
    await expect(shop.get_by_role("link", name="Privacy information")).to_have_attribute("href", people.url + "/privacy")
    await expect(shop.get_by_role("textbox", name="Message")).to_have_count(0)
    await shop.get_by_role("button", name="Not now").click()
    await shop.get_by_role("button", name="Open chat").click()
    state = "() => [localStorage.length, sessionStorage.length, document.cookie]"
    assert await shop.evaluate(state) == [0, 0, ""]
    assert asked == []
    await shop.get_by_role("button", name="Agree and start").click()
    await write(shop, "I agreed")
    await expect(shop.get_by_role("log").get_by_text("I agreed")).to_be_visible()
    await shop.reload()
    await shop.get_by_role("button", name="Open chat").click()
    await expect(shop.get_by_role("log").get_by_text("I agreed")).to_be_visible()


async def test_two_tabs_are_one_chat(people: People) -> None:
    """C3: what is written in one tab stands in the other, once, files included."""
    context = await people.context()
    left, right = await opened(people, context), await opened(people, context)
    await write(left, "from the left")
    await left.locator("input[type=file]").set_input_files([file("a.png", picture(), "image/png")])
    await expect(left.get_by_role("button", name="Send", exact=True)).to_be_enabled()
    await left.get_by_role("button", name="Send", exact=True).click()
    await write(right, "from the right")
    for tab in (left, right):
        await expect(tab.locator(".line.mine:not(.sending):not(.sent)")).to_have_count(3)
        await expect(tab.get_by_role("log").get_by_text("from the left")).to_have_count(1)
        await expect(tab.get_by_role("log").get_by_text("from the right")).to_have_count(1)
        await is_shown(tab, ".line.mine .picture img")
    assert people.trouble == [], people.refused


async def test_the_agent_sees_where_it_began(people: People) -> None:
    """C6: the page, with its campaign and without the rest of its query."""
    inbox, shop = await people.inbox(), await people.page("/?utm_source=news&order=4711")
    await shop.get_by_role("button", name="Open chat").click()
    await write(shop, "Hello from a campaign")
    await inbox.get_by_text("Hello from a campaign").first.click()
    await expect(inbox.get_by_role("log").get_by_text(f"The conversation began on {people.url}/?utm_source=news")).to_be_visible()
    await expect(inbox.get_by_text("4711")).to_have_count(0)


async def test_after_logging_out_nothing_stays_in_any_tab(people: People) -> None:
    """C6: the shop's page says ``forget``; the agents keep what was said."""
    context = await people.context()
    left, right = await opened(people, context), await opened(people, context)
    await write(left, "between us")
    await expect(right.get_by_role("log").get_by_text("between us")).to_be_visible()
    await left.evaluate("document.querySelector('sportello-chat').forget()")
    for tab in (left, right):
        await expect(tab.get_by_role("log").get_by_text("between us")).to_have_count(0)
    await expect(right.get_by_text("We are here to help")).to_be_visible()
    await write(right, "somebody else")
    await expect(left.get_by_role("log").get_by_text("somebody else")).to_be_visible()
    await right.reload()
    await right.get_by_role("button", name="Open chat").click()
    await expect(right.get_by_role("log").get_by_text("somebody else")).to_be_visible()
    await expect(right.get_by_role("log").get_by_text("between us")).to_have_count(0)


async def test_what_another_tab_only_copied_is_forgotten_too(people: People) -> None:
    """C6: a tab that never heard of the line from the gateway shows it by its neighbour; after logging out it must not."""
    context = await people.context()
    deaf = await context.new_page()
    people.watch(deaf)
    await deaf.route_web_socket(re.compile("/socket"), lambda _: None)
    await deaf.goto(people.url)
    await deaf.get_by_role("button", name="Open chat").click()
    left = await opened(people, context)
    await write(left, "between us")
    await expect(deaf.get_by_role("log").get_by_text("between us")).to_be_visible()
    await left.evaluate("document.querySelector('sportello-chat').forget()")
    await expect(deaf.get_by_role("log").get_by_text("between us")).to_have_count(0)


async def test_an_address_for_answers_and_the_chat_by_mail(people: People) -> None:
    """C6: asked for once something was said, remembered, and what was said can be sent there; logging out forgets it."""
    shop, inbox = await talking(people)
    await shop.get_by_label("If you leave, where shall we answer you?").fill("no address")
    await shop.get_by_role("button", name="Save").click()
    await expect(shop.get_by_text("When you are gone we answer")).to_have_count(0)
    await shop.get_by_label("If you leave, where shall we answer you?").fill("Cleo@example.org")
    await shop.get_by_role("button", name="Save").click()
    await expect(shop.get_by_text("When you are gone we answer Cleo@example.org.")).to_be_visible()
    await inbox.get_by_role("textbox", name="Reply").fill("It leaves today.")
    await inbox.keyboard.press("Enter")
    await expect(shop.get_by_text("It leaves today.")).to_be_visible()
    await expect(inbox.locator(".tick.read")).to_have_count(1)
    await shop.get_by_role("button", name="Send me this chat").click()
    await expect(shop.locator(".log").get_by_role("button", name="Sent")).to_be_visible()
    await expect(inbox.get_by_text("The shopper had the chat sent to cleo@example.org")).to_be_visible()
    assert people.trouble == [], people.refused
    await shop.reload()
    await shop.get_by_role("button", name="Open chat").click()
    await expect(shop.get_by_text("When you are gone we answer Cleo@example.org.")).to_be_visible()
    assert "Cleo@" in await shop.evaluate("JSON.stringify(localStorage)")
    await shop.evaluate("document.querySelector('sportello-chat').forget()")
    assert "Cleo@" not in await shop.evaluate("JSON.stringify(localStorage)")
