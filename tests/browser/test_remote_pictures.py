"""A mail's pictures from afar in the agents' inbox (bad-input row B53), in front of a real Chromium and a real tracker."""

import re
from pathlib import Path

import pytest
from playwright.async_api import async_playwright, expect

from tests.support.afar import HOOK, config_with_mail, html_mail, running_tracker
from tests.support.cast import assemble
from tests.support.chromium import LAUNCH_ARGS, require_chromium
from tests.support.gateway import running_gateway

pytestmark = pytest.mark.browser


async def test_b53_pictures_come_by_the_gateway_and_only_when_asked_for(tmp_path: Path) -> None:
    chromium = require_chromium()
    async with running_tracker() as tracker, running_gateway(config_with_mail(tmp_path, tracker.place)) as gateway:
        cast = await assemble(gateway)
        html = (
            f"<h1>Sale!</h1><img src='{tracker.root}/pixel.gif?who=ada' alt='bag'><img src='{tracker.root}/pixel.gif?who=ada'>"
            f"<link rel='prefetch' href='{tracker.root}/prefetch'><link rel='stylesheet' href='{tracker.root}/style.css'>"
            f"<style>@import url({tracker.root}/import.css)</style><table background='{tracker.root}/table.png'><tr><td>x</td></tr></table>"
            f"<picture><source srcset='{tracker.root}/source.png'></picture><p style='background: url({tracker.root}/css.png)'>y</p>"
        )
        assert (await gateway.request("POST", "/webhooks/mail", data=html_mail(html), headers=HOOK))[0] == 200
        async with async_playwright() as playwright:
            browser = await playwright.chromium.launch(
                executable_path=str(chromium.executable), args=list(LAUNCH_ARGS), env=chromium.full_environment()
            )
            context = await browser.new_context(locale="en-GB")
            await context.add_cookies([{"name": "sportello_session", "value": cast.sue.cookie, "url": gateway.url}])
            page = await context.new_page()
            trouble: list[str] = []
            page.on("console", lambda message: trouble.append(message.text) if message.type == "error" else None)
            page.on("request", lambda request: None if request.url.startswith(gateway.url) else trouble.append(request.url))
            await page.goto(f"{gateway.url}/inbox/")
            await page.get_by_text("Sale!").first.click()
            await page.get_by_text("Show as it was sent").click()
            inside = page.frame_locator("iframe.as-sent")
            await expect(inside.get_by_role("heading", name="Sale!")).to_be_visible()
            assert tracker.seen == []

            await page.get_by_role("button", name="Show pictures").click()
            picture = inside.get_by_role("img", name="bag")
            await expect(picture).to_have_attribute("src", re.compile(re.escape(f"{gateway.url}/pictures/")))
            await expect(picture).to_have_js_property("naturalWidth", 1)
            ((path, headers),) = tracker.seen
            assert path == "/pixel.gif?who=ada"
            assert not {"cookie", "referer", "origin", "sec-fetch-site"} & set(headers)
            assert "Chrome" not in headers["user-agent"]
            await expect(page.get_by_role("button", name="Show pictures")).to_have_count(0)
            assert [one for one in trouble if not one.startswith("ws")] == []
            await context.close()
            await browser.close()
