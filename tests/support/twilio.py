"""A simulated Twilio on a real port, and the clients beside it."""

import base64
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from io import BytesIO
from typing import Any
from urllib.parse import quote, urlencode

import aiohttp
from aiohttp import web

from connectors.contract import ClientContext, Request
from connectors.sms import Settings as SmsSettings
from connectors.sms.client import SmsClient
from connectors.twilio.simulator import PLACE, Place, create_simulator_app
from connectors.whatsapp_twilio import Settings as WhatsappSettings
from connectors.whatsapp_twilio.client import WhatsappTwilioClient
from tests.support.pictures import PNG
from tests.support.serving import serving
from tests.support.settings import settings_of

ACCOUNT = "AC" + "0123456789abcdef" * 2
TOKEN = "canary-twilio-auth-token-1"
SERVICE = "MG" + "fedcba9876543210" * 2
NUMBER = "+15005550006"
URL = "https://shop.example.org/webhooks/shop"


def sms_settings(**changes: Any) -> SmsSettings:
    return settings_of(SmsSettings, {"account_sid": ACCOUNT, "auth_token": TOKEN, "number": NUMBER, **changes})


def whatsapp_settings(**changes: Any) -> WhatsappSettings:
    return settings_of(WhatsappSettings, {"account_sid": ACCOUNT, "auth_token": TOKEN, "number": NUMBER, **changes})


def webhook(form: Mapping[str, str] | bytes, *, url: str = URL, query: Mapping[str, str] | None = None, **headers: str) -> Request:
    """A webhook as it reaches the connector, without signature unless ``headers`` has one."""
    body = form if isinstance(form, bytes) else urlencode(form).encode()
    full = url + (f"?{urlencode(query)}" if query else "")
    named = {"content-type": "application/x-www-form-urlencoded", **{name.replace("_", "-"): value for name, value in headers.items()}}
    return Request(method="POST", url=full, headers=named, body=body, query=query or {}, received_at=datetime(2026, 11, 21, 12, tzinfo=UTC))


@dataclass(frozen=True)
class Phone:
    """The control API from Python."""

    session: aiohttp.ClientSession
    root: str

    async def post(self, path: str, **body: Any) -> Any:
        stream, headers = BytesIO(json.dumps(body).encode()), {"Content-Type": "application/json"}
        async with self.session.post(f"{self.root}/control/{path}", data=stream, headers=headers) as answer:
            assert answer.status < 300, await answer.text()
            return await answer.json()

    async def get(self, path: str) -> Any:
        async with self.session.get(f"{self.root}/control/{path}") as answer:
            assert answer.status == 200, await answer.text()
            return await answer.json()

    async def person(self, id_: str, name: str = "Ada") -> str:
        found: str = (await self.post("people", id=id_, name=name))["id"]
        return found

    async def act(self, person: str, what: str, **body: Any) -> Any:
        return await self.post(f"people/{quote(person, safe='')}/{what}", **body)

    async def say(self, person: str, text: str = "", *files: tuple[bytes, str], **more: Any) -> str:
        given = [{"data": base64.b64encode(data).decode(), "mime": mime} for data, mime in files]
        line: str = (await self.act(person, "messages", text=text, files=given, **more))["id"]
        return line

    async def fault(self, kind: str, **more: Any) -> None:
        await self.post("faults", kind=kind, **more)

    async def lines(self, person: str) -> list[dict[str, Any]]:
        return [line for line in (await self.get("state"))["lines"] if line["person"] == person]

    async def ledger(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = (await self.get("ledger"))["items"]
        return found


@dataclass
class Inbox:
    """A webhook address that remembers what came."""

    root: str = ""
    requests: list[Request] = field(default_factory=list)
    #: Answers to give, before 200 with empty TwiML.
    answers: list[tuple[int, str, str]] = field(default_factory=list)

    async def take(self, request: web.Request) -> web.Response:
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.requests.append(
            Request(
                method=request.method,
                url=self.root + request.path_qs,
                headers=headers,
                body=await request.read(),
                query=dict(request.query),
                received_at=datetime.now(UTC),
            )
        )
        status, kind, body = self.answers.pop(0) if self.answers else (200, "text/xml", "<Response/>")
        return web.Response(status=status, content_type=kind, text=body)

    async def file(self, request: web.Request) -> web.Response:
        return web.Response(body=PNG, content_type="image/png", headers={"X-Name": request.match_info["name"]})

    def app(self) -> web.Application:
        app = web.Application()
        app.add_routes([web.post("/hook", self.take), web.get("/files/{name}", self.file)])
        return app


@dataclass(frozen=True)
class Bench:
    """Simulator, phone, a webhook address, and both clients."""

    root: str
    phone: Phone
    place: Place
    inbox: Inbox
    session: aiohttp.ClientSession
    #: Addresses that clients asked for: the file, and whether people are sent it.
    links: list[tuple[str, bool]] = field(default_factory=list)

    @property
    def hook(self) -> str:
        return f"{self.inbox.root}/hook"

    def context(self) -> ClientContext:
        async def read_file(stored: str) -> bytes:
            raise AssertionError(f"Twilio is given addresses, not the bytes of {stored}")

        async def link_file(stored: str, *, for_people: bool = False) -> str:
            self.links.append((stored, for_people))
            if stored == "med_gone":
                raise OSError(stored)
            return f"{self.inbox.root}/files/{stored}"

        return ClientContext(session=self.session, channel="shop", read_file=read_file, link_file=link_file)

    def sms(self, **changes: Any) -> tuple[SmsSettings, SmsClient]:
        settings = sms_settings(**{"api_base": self.root, **changes})
        return settings, SmsClient(settings, self.context())

    def whatsapp(self, **changes: Any) -> tuple[WhatsappSettings, WhatsappTwilioClient]:
        settings = whatsapp_settings(**{"api_base": self.root, **changes})
        return settings, WhatsappTwilioClient(settings, self.context())


@asynccontextmanager
async def twilio_bench(**options: Any) -> AsyncIterator[Bench]:
    """A fresh simulator with everything around it."""
    inbox = Inbox()
    app = create_simulator_app(**{"account_sid": ACCOUNT, "auth_token": TOKEN, "number": NUMBER, **options})
    async with serving(inbox.app()) as hooks, serving(app) as root, aiohttp.ClientSession() as session:
        inbox.root, app[PLACE].base = hooks, root
        for hook in app[PLACE].hooks.values():
            hook.url = f"{hooks}/hook"
        yield Bench(root, Phone(session, root), app[PLACE], inbox, session)
