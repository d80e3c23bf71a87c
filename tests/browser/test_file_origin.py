"""Files in a real browser: shown from an origin of their own, and while a scanner looks at them (checklist line C5)."""

from datetime import timedelta
from pathlib import Path

import pytest
from msgspec.structs import replace
from playwright.async_api import expect

from config import Config
from tests.browser.conftest import at_the_demo
from tests.browser.test_web_chat import file, is_shown, picture, talking, write
from tests.support.clamd import EICAR, SIGNATURE, fake_clamd

pytestmark = pytest.mark.browser


async def test_pictures_are_shown_from_the_files_origin_and_from_no_other(tmp_path: Path) -> None:
    def apart(config: Config) -> Config:
        return replace(config, media=replace(config.media, origin=f"http://files.localhost:{config.server.port}"))

    async with at_the_demo(tmp_path, apart) as people:
        people.files = f"http://files.localhost:{people.url.rpartition(':')[2]}"
        shop, inbox = await talking(people)
        sent: list[dict[str, str]] = []
        for page in (shop, inbox):
            page.on("request", lambda request: sent.append(request.headers) if request.url.startswith(people.files) else None)
        await shop.locator("input[type=file]").set_input_files([file("torn seam.png", picture(), "image/png")])
        await expect(shop.locator(".picked progress")).to_have_count(0)
        await write(shop, "The seam is torn")
        await is_shown(shop, ".line.mine .picture img")
        await is_shown(inbox, ".line.inbound .picture img")
        # What is shown was made anew; what is saved is what was sent.
        async with inbox.expect_download() as saving:
            await inbox.get_by_role("link", name="Save as it was sent").click()
        saved = await saving.value
        assert saved.suggested_filename == "torn seam.png"
        assert (await saved.path()).read_bytes() == picture()
        for name, data in (("new one.png", picture()), ("returns.pdf", b"%PDF-1.7 x")):
            await inbox.locator(".composer input[type=file]").set_input_files([file(name, data)])
        await is_shown(shop, ".line.theirs .picture img")
        card = shop.locator(".line.theirs a.card")
        await expect(card).to_contain_text("returns.pdf")
        async with shop.expect_download() as download:
            await card.click()
        assert (await (await download.value).path()).read_bytes() == b"%PDF-1.7 x"
        assert sent
        assert not [headers for headers in sent if "cookie" in headers]
        assert people.trouble == [], people.refused


async def test_a_file_is_shown_once_the_scanner_has_seen_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("gateway.work.media.LONGEST_WAIT", "gateway.screen.FIRST_PAUSE", "gateway.screen.LONGEST_PAUSE"):
        monkeypatch.setattr(name, timedelta(milliseconds=100))
    async with fake_clamd() as scanner:

        def scanned(config: Config) -> Config:
            return replace(config, media=replace(config.media, scanner=scanner.url))

        async with at_the_demo(tmp_path, scanned) as people:
            shop, inbox = await talking(people)
            await scanner.stop()
            picked = [file("torn seam.png", picture(), "image/png"), file("bill.pdf", b"%PDF-1.7 " + EICAR)]
            await shop.locator("input[type=file]").set_input_files(picked)
            await expect(shop.locator(".picked progress")).to_have_count(0)
            await write(shop, "The seam is torn")
            # The words are there; the files are not.
            await expect(inbox.get_by_role("log").get_by_text("The seam is torn")).to_be_visible()
            await expect(inbox.get_by_text("being checked for viruses…")).to_have_count(2)
            await expect(shop.get_by_text("Being checked…")).to_have_count(2)
            await scanner.start()
            await is_shown(inbox, ".line.inbound .picture img")
            await is_shown(shop, ".line.mine .picture img")
            await expect(inbox.get_by_text(f"withheld: the virus scanner found {SIGNATURE}")).to_be_visible()
            await expect(shop.get_by_text("This file was blocked by the virus scanner.")).to_be_visible()
            # With the scanner there, it is said before anything is sent.
            await shop.locator("input[type=file]").set_input_files([file("again.pdf", b"%PDF-1.7 " + EICAR)])
            await expect(shop.locator(".picked em")).to_have_text("This file was blocked by the virus scanner.")
            assert [one for one in people.trouble if "422" not in one] == [], people.refused
