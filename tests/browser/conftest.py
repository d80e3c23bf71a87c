"""A demo on a free port, and people with a real Chromium in front of it."""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from playwright.async_api import Browser, BrowserContext, Page, Response, async_playwright, expect

from config import Config, load_config
from gateway import demo
from gateway.server import run_gateway
from tests.support.chromium import LAUNCH_ARGS, require_chromium

#: Milliseconds: what must come may come late on a busy machine.
PATIENCE = 30_000
expect.set_options(timeout=PATIENCE)


@dataclass
class People:
    """Whoever sits in front of the demo. Every dialog, console error and foreign request is written down."""

    url: str
    browser: Browser
    login: dict[str, str]
    contexts: list[BrowserContext] = field(default_factory=list)
    trouble: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    #: Where people's files are, if that is elsewhere.
    files: str = ""

    async def context(self, **options: object) -> BrowserContext:
        context = await self.browser.new_context(locale="en-GB", **options)  # type: ignore[arg-type]
        context.set_default_timeout(PATIENCE)
        self.contexts.append(context)
        return context

    async def page(self, path: str, context: BrowserContext | None = None) -> Page:
        page = await (context or await self.context()).new_page()
        self.watch(page)
        await page.goto(path if path.startswith("http") else self.url + path)
        return page

    def watch(self, page: Page) -> None:
        page.on("dialog", lambda dialog: self.trouble.append(f"dialog: {dialog.message}"))
        page.on("pageerror", lambda error: self.trouble.append(f"error: {error}"))
        page.on("console", lambda message: self.trouble.append(f"console: {message.text}") if message.type == "error" else None)
        page.on("response", self._refusal)
        page.on("request", lambda request: None if self._ours(request.url) else self.trouble.append(f"request: {request.url}"))

    async def _refusal(self, response: Response) -> None:
        """A refused request also shows on the console, but not which one it was."""
        if response.status >= 400:
            body = await response.body()
            self.refused.append(f"{response.status} {response.request.method} {response.url}: {body[:300]!r}")

    def _ours(self, address: str) -> bool:
        own = (self.url, self.url.replace("http", "ws", 1), "data:", "blob:")
        return address.startswith((*own, f"{self.files}/media/", f"{self.files}/chat/v1/web/files/") if self.files else own)

    async def inbox(self, name: str = "Ada") -> Page:
        return await self.page(self.login[name])


@contextlib.asynccontextmanager
async def at_the_demo(folder: Path, change: Callable[[Config], Config] = lambda config: config) -> AsyncIterator[People]:
    """The demo, fresh, with settings that the port may be needed for, and a browser."""
    chromium = require_chromium()
    stop, said = asyncio.Event(), asyncio.Queue[str]()
    config = load_config(None, {}, {"data_dir": str(folder), "server.port": "0"})
    occasion = demo.occasion(said.put_nowait)
    server = asyncio.create_task(run_gateway(config, replace(occasion, prepare=lambda given: change(occasion.prepare(given))), stop))
    try:
        text = await asyncio.wait_for(said.get(), 60)
        login = dict(re.findall(r"Inbox as (\w+)\s+(\S+)", text))
        async with async_playwright() as playwright:
            browser = await playwright.chromium.launch(
                executable_path=str(chromium.executable), args=list(LAUNCH_ARGS), env=chromium.full_environment()
            )
            found = People(login["Ada"].partition("/inbox/")[0], browser, login)
            yield found
            for context in found.contexts:
                await context.close()
            await browser.close()
    finally:
        stop.set()
        await server


@pytest.fixture
async def people(tmp_path: Path) -> AsyncIterator[People]:
    """The demo, fresh, and a browser."""
    async with at_the_demo(tmp_path) as found:
        yield found
