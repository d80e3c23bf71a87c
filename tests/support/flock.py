"""One gateway with a channel of every kind, each before its own simulator; every credential is a canary, in every setting that takes one.

Behind ``quoting`` the providers repeat our credentials in whatever they answer, in every form, as some of them do.
"""

import base64
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import aiohttp
from aiohttp import web
from aiohttp.typedefs import Handler
from msgspec.structs import replace

from config import ChannelConfig, Config, Secret
from config.model import Media
from connectors.abilities import Provisioner
from connectors.email.settings import receiver_secret
from connectors.email.simulator import create_simulator_app as email_app
from connectors.messenger.simulator import SIMULATOR
from connectors.messenger.simulator import Account as PageAccount
from connectors.messenger.simulator import create_simulator_app as meta_app
from connectors.signature import sign
from connectors.telegram.simulator import create_simulator_app as telegram_app
from connectors.twilio.simulator import PLACE
from connectors.twilio.simulator import create_simulator_app as twilio_app
from connectors.whatsapp.simulator import Account as NumberAccount
from connectors.whatsapp.simulator import create_simulator_app as whatsapp_app
from connectors.whatsapp.simulator.app import HOOK
from tests.support.canary import forms
from tests.support.cast import Cast, assemble
from tests.support.gateway import SHOP, RunningGateway, gateway_config, running_gateway
from tests.support.mail import mail_settings
from tests.support.pictures import PNG
from tests.support.ports import free_port
from tests.support.serving import serving
from tests.support.waiting import eventually

SERVER_KEY: Final = "canary-KEY-of/the+server-0123456789abcdef"
ACCOUNT_SID: Final = "AC" + "5" * 32
SUB_SID: Final = "AC" + "6" * 32
NUMBER: Final = "+15005550006"
ADDRESS: Final = "help@bottega.example"
AUTHSERV: Final = "mx.bottega.example"
PHONE_NUMBER, BUSINESS, APP = "106540352242922", "102290129340398", "880000000000005"
PAGE, INSTAGRAM = "104290000000001", "178410000000001"
KINDS: Final = ("telegram", "sms", "whatsapp", "whatsapp_twilio", "messenger", "instagram", "email")


def canary(kind: str, name: str) -> str:
    """A secret that stands nowhere else; with a few characters that change when they are quoted, where the provider's have such."""
    odd = "" if kind in {"telegram", "whatsapp", "messenger", "instagram"} else '/+&"'
    return f"canary-{kind.replace('_', '-')}-{name}-{odd}0123456789"


def _telegram(base: str) -> dict[str, Any]:
    return {
        "token": f"700000001:{canary('telegram', 'token')}",
        "secret_token": canary("telegram", "hook"),
        "previous_secret_token": canary("telegram", "former-hook"),
        "mode": "webhook",
        "api_base": base,
    }


def _twilio(kind: str, base: str) -> dict[str, Any]:
    return {
        "account_sid": ACCOUNT_SID,
        "auth_token": canary(kind, "auth"),
        "secondary_auth_token": canary(kind, "second"),
        "subaccounts": {SUB_SID: canary(kind, "sub")},
        "webhook_shared_key": canary(kind, "shared"),
        "number": NUMBER,
        "api_base": base,
        **({"mms": True} if kind == "sms" else {}),
    }


def _meta(kind: str, base: str) -> dict[str, Any]:
    whose = {
        "whatsapp": {"phone_number_id": PHONE_NUMBER, "business_account_id": BUSINESS},
        "messenger": {"page_id": PAGE, "app_id": APP},
        "instagram": {"account_id": INSTAGRAM, "app_id": APP},
    }[kind]
    names = {"access_token": "access", "app_secret": "app", "previous_app_secret": "former-app", "verify_token": "verify"}
    return {**{setting: canary(kind, name) for setting, name in names.items()}, **whose, "graph_base": base}


def _email(smtp: Mapping[str, Any], token_url: str, mailbox_port: int) -> dict[str, Any]:
    oauth = {
        "token_url": token_url,
        "client_id": "client",
        "refresh_token": canary("email", "refresh"),
        "client_secret": canary("email", "client"),
    }
    box = {"host": "127.0.0.1", "port": mailbox_port, "security": "none", "since": "2020-01-01"}
    return {
        "address": ADDRESS,
        "secret": canary("email", "secret"),
        "webhook_secret": canary("email", "hook"),
        "authserv_ids": [AUTHSERV],
        "reply_address": ADDRESS.replace("@", "+{token}@"),
        # Nobody is there: each of them fails for ever, in its own place.
        "mailboxes": [
            {**box, "username": "one", "oauth": oauth},
            {**box, "username": "two", "password": canary("email", "mailbox")},
        ],
        "smtp": dict(smtp),
    }


def secrets_within(settings: Mapping[str, Any], path: str) -> dict[str, str]:
    """All canaries of a section, by their places."""
    found: dict[str, str] = {}
    for name, value in settings.items():
        inner = value if isinstance(value, list) else [value]
        for number, one in enumerate(inner):
            if isinstance(one, Mapping):
                found |= secrets_within(one, f"{path}.{name}{number}")
            elif isinstance(one, str) and "canary-" in one:
                found[f"{path}.{name}"] = one
    return found


@dataclass
class Provider:
    """One simulator, and what its provider would say if it quoted us."""

    kind: str
    root: str = ""
    quoting: str = ""
    secrets: Mapping[str, str] = field(default_factory=dict)
    #: Calls that were answered with quotations.
    quoted: int = 0

    def words(self) -> str:
        """Each time another credential in another form comes first: of long words only the beginning is kept."""
        said = [form for secret in self.secrets.values() for form in forms(secret).values()]
        first = self.quoted * 7 % len(said)
        return "you sent " + " and ".join(said[first:] + said[:first])

    def error(self) -> tuple[int, dict[str, Any]]:
        """An error of the provider's own shape."""
        words, refused = self.words(), self.quoting == "auth"
        match self.kind:
            case "telegram":
                code = 401 if refused else 400
                return code, {"ok": False, "error_code": code, "description": words}
            case "sms" | "whatsapp_twilio":
                code = 20003 if refused else 21211
                return (401 if refused else 400), {"code": code, "message": words, "more_info": words, "status": 400}
            case _:
                inner = {"message": words, "type": words, "code": 190 if refused else 100, "fbtrace_id": words}
                more = {"error_user_title": words, "error_user_msg": words, "error_data": {"details": words}}
                return (401 if refused else 400), {"error": {**inner, **more}}

    @web.middleware
    async def quote(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if not self.quoting or request.path.startswith("/control"):
            return await handler(request)
        self.quoted += 1
        status, body = self.error()
        # A header has no room for all of it.
        return web.json_response(
            body, status=status, headers={"X-Echo": next(iter(self.secrets.values())), "X-Request": self.words()[:2000]}
        )


@dataclass
class Flock:
    """The gateway, its people, and all providers."""

    cast: Cast
    session: aiohttp.ClientSession
    providers: Mapping[str, Provider]
    canaries: Mapping[str, str]

    @property
    def gateway(self) -> RunningGateway:
        return self.cast.gateway

    async def control(self, kind: str, path: str, /, **body: Any) -> Any:
        async with self.session.post(
            f"{self.providers[kind].root}/control/{path}", data=json.dumps(body), headers={"Content-Type": "application/json"}
        ) as answer:
            assert answer.status < 300, await answer.text()
            return await answer.json()

    async def fault(self, kind: str, name: str, **more: Any) -> None:
        if kind == "telegram":
            names = {"error": "500", "later": "garbage", "throttled": "retry_after"}
            name, more = names.get(name, name), {"seconds": 0.1} if name == "throttled" else {}
        await self.control(kind, "faults", kind=name, **more)

    async def person(self, kind: str, number: int) -> str:
        if kind == "telegram":
            return str((await self.control(kind, "users", first_name=f"Cleo{number}"))["user_id"])
        ids = {
            "sms": f"+3933500000{number:02}",
            "whatsapp_twilio": f"whatsapp:+3933500000{number:02}",
            "whatsapp": f"3933500000{number:02}",
        }
        more = {"id": ids[kind]} if kind in ids else {}
        return str((await self.control(kind, "people", name=f"Cleo{number}", **more))["id"])

    async def say(self, kind: str, person: str, text: str = "", *, photo: bool = False) -> None:
        data = base64.b64encode(PNG).decode()
        if kind == "telegram":
            await self.control(kind, f"users/{person}/message", **({"photo": data} if photo else {"text": text}))
            return
        files = [{"data": data, "mime": "image/png", "name": "shoe.png"}] if photo else []
        quoted = person.replace("+", "%2B").replace(":", "%3A").replace("@", "%40")
        await self.control(kind, f"people/{quoted}/messages", text=text, files=files)

    async def conversation(self, kind: str, number: int, text: str) -> tuple[str, dict[str, Any]]:
        """Somebody new writes; who, and the conversation."""
        person = await self.person(kind, number)
        await self.say(kind, person, text)
        return person, await self.begun(kind, text)

    async def begun(self, kind: str, text: str) -> dict[str, Any]:
        """The conversation that began with these words."""

        async def look() -> list[dict[str, Any]]:
            # The database may have been away a moment ago: then there is a 503.
            found = (await self.cast.sue.get("/conversations?limit=200")).json.get("items", [])
            return [one for one in found if one["channel"] == kind and one["preview"].endswith(text)]

        try:
            return (await eventually(look))[0]
        except TimeoutError:
            seen = [one["preview"] for one in (await self.cast.sue.get("/conversations?limit=200")).json["items"] if one["channel"] == kind]
            raise AssertionError(f"{kind}: nobody has seen {text!r} but {seen}") from None

    async def lines(self, conversation: Mapping[str, Any]) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = (await self.cast.sue.get(f"/conversations/{conversation['id']}/messages?limit=200")).json["items"]
        return found

    async def reply(self, conversation: Mapping[str, Any], statuses: Sequence[str], **body: Any) -> dict[str, Any]:
        """An agent answers; the line once it has one of these statuses."""
        answer = await self.cast.sue.post(f"/conversations/{conversation['id']}/messages", body)
        assert answer.status == 201, answer.raw
        id_ = answer.json["message"]["id"]

        async def look() -> dict[str, Any]:
            return next(line for line in await self.lines(conversation) if line["id"] == id_)

        try:
            return await eventually(look, lambda line: line["status"] in statuses)
        except TimeoutError:
            raise AssertionError(f"{conversation['channel']}: {body} is still {(await look())['status']}, not {statuses}") from None


def _apps(providers: Mapping[str, Provider], smtp_port: int, hooks: Callable[[str], str]) -> dict[str, web.Application]:
    def page(kind: Any, id_: str) -> web.Application:
        account = PageAccount(platform=kind, id=id_, access_token=canary(kind, "access"), app_secret=canary(kind, "app"))
        return meta_app(account, retries=(0.05, 0.1, 0.2))

    def twilio(kind: str) -> web.Application:
        return twilio_app(account_sid=ACCOUNT_SID, auth_token=canary(kind, "auth"), number=NUMBER, by_whatsapp=kind != "sms")

    number = NumberAccount(
        token=canary("whatsapp", "access"),
        app_secret=canary("whatsapp", "app"),
        phone_number_id=PHONE_NUMBER,
        business_account_id=BUSINESS,
    )
    apps = {
        "telegram": telegram_app(token=f"700000001:{canary('telegram', 'token')}", rate_limits=False),
        "sms": twilio("sms"),
        "whatsapp": whatsapp_app(number, limits=False, retries=(0.05, 0.1, 0.2)),
        "whatsapp_twilio": twilio("whatsapp_twilio"),
        "messenger": page("messenger", PAGE),
        "instagram": page("instagram", INSTAGRAM),
        "email": email_app(address=ADDRESS, webhook=hooks("email"), secret=canary("email", "hook"), authserv=AUTHSERV, smtp_port=smtp_port),
    }
    for kind, app in apps.items():
        app.middlewares.append(providers[kind].quote)
    return apps


def flock_config(folder: Path, roots: Mapping[str, str], smtp_port: int, port: int) -> Config:
    """All channels; every secret is a canary."""
    smtp = {"host": "127.0.0.1", "port": smtp_port, "security": "none"}
    settings = {
        "telegram": _telegram(roots["telegram"]),
        **{kind: _twilio(kind, roots[kind]) for kind in ("sms", "whatsapp_twilio")},
        **{kind: _meta(kind, roots[kind]) for kind in ("whatsapp", "messenger", "instagram")},
        "email": _email(smtp, f"{roots['email']}/token", free_port()),
        # The server has no log-in: the password is refused, or not even asked for.
        "post": {
            **_email({**smtp, "username": "us", "password": canary("email", "smtp")}, f"{roots['email']}/token", free_port()),
            "address": "other@bottega.example",
            "reply_address": "",
        },
        "web": {"origins": [SHOP], "secret": canary("webchat", "secret-of-tokens"), "identity_secret": canary("webchat", "identity-é")},
    }
    kinds = {"post": "email", "web": "webchat"}
    channels = {id_: ChannelConfig(kind=kinds.get(id_, id_), title=id_, settings=section) for id_, section in settings.items()}
    config = gateway_config(folder, channels)
    server = replace(config.server, secret_key=Secret(SERVER_KEY), port=port, public_url=f"http://127.0.0.1:{port}")
    hosts = tuple(root.removeprefix("http://") for root in roots.values())
    return replace(config, server=server, media=Media(allow_private_hosts=hosts), log=replace(config.log, level="debug"))


def canaries_of(config: Config) -> dict[str, str]:
    """What must be nowhere: all secrets, and those that are derived from them."""
    found = {"server.secret_key": SERVER_KEY}
    for id_, channel in config.channels.items():
        found |= secrets_within(channel.settings, id_)
    token = Secret(found["telegram.token"])
    found["telegram, derived"] = sign("sha256", token, b"sportello.telegram.poll")
    found["email, derived"] = receiver_secret(mail_settings(secret=found["email.secret"])).reveal()
    return found


@contextlib.asynccontextmanager
async def flock(folder: Path, adapt: Callable[[Config], Config] = lambda config: config) -> AsyncIterator[Flock]:
    """All of it, connected."""
    providers = {kind: Provider(kind) for kind in KINDS}
    smtp_port, port = free_port(), free_port()
    apps = _apps(providers, smtp_port, lambda kind: f"http://127.0.0.1:{port}/webhooks/{kind}")
    async with contextlib.AsyncExitStack() as stack:
        for kind, app in apps.items():
            providers[kind].root = await stack.enter_async_context(serving(app))
        for kind in ("sms", "whatsapp_twilio"):
            apps[kind][PLACE].base = providers[kind].root
        config = adapt(flock_config(folder, {kind: one.root for kind, one in providers.items()}, smtp_port, port))
        canaries = canaries_of(config)
        for kind, one in providers.items():
            one.secrets = {name: value for name, value in canaries.items() if name.startswith(f"{kind}.")} | {"server": SERVER_KEY}
        session = await stack.enter_async_context(aiohttp.ClientSession())
        gateway = await stack.enter_async_context(running_gateway(config))
        for kind in KINDS:
            client = gateway.services.channels[kind].client
            if isinstance(client, Provisioner):
                await client.provision(f"{gateway.url}/webhooks/{kind}")
        apps["instagram"][SIMULATOR].account.webhook_url = f"{gateway.url}/webhooks/instagram"
        assert apps["whatsapp"][HOOK].url
        yield Flock(await assemble(gateway), session, providers, canaries)
