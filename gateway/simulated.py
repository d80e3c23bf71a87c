"""The demo's providers: one simulated account of each kind, in the same server, and the channels that are connected to them.

The credentials open nothing but these simulators. They forget everybody at their end and the gateway does not, so the ids of people
begin somewhere else at each start.
"""

import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib import import_module
from typing import Any, Final

from aiohttp import web

from config import ChannelConfig

SHOP: Final = "Bottega Sportello"
_SECRET: Final = "demo-secret-that-opens-only-the-simulator"  # noqa: S105
_BOT: Final = "1000001:demo-token-for-the-simulator-only-000"
_ACCOUNT_SID: Final = "AC" + "5" * 32
_NUMBER: Final = "+15005550006"
_PHONE_NUMBER: Final = "106540352242922"
_BUSINESS: Final = "102290129340398"
_APP: Final = "880000000000005"
_ADDRESS: Final = "help@bottega.example"
_AUTHSERV: Final = "mx.bottega.example"
_PAGE: Final = "104290000000001"
_INSTAGRAM: Final = "178410000000001"


@dataclass(frozen=True, slots=True, kw_only=True)
class Simulated:
    """A channel, and the provider behind it."""

    #: Kind of the connector, and the channel's id.
    kind: str
    #: What agents read.
    title: str
    #: The channel's settings, where the simulator has this address.
    settings: Callable[[str], dict[str, Any]]
    #: The simulator, made from the address and the webhook's.
    make: Callable[[str, str], web.Application]

    @property
    def path(self) -> str:
        """Where it lies in the demo's server."""
        return f"/sim/{self.kind}"

    def channel(self, public_url: str) -> ChannelConfig:
        """As if the operator had configured it."""
        return ChannelConfig(kind=self.kind, title=self.title, settings=self.settings(public_url + self.path))


def mount(app: web.Application, public_url: str, providers: Sequence[Simulated]) -> None:
    """Add all simulators, and the list that the phone page begins with."""
    for one in providers:
        app.add_subapp(one.path, one.make(public_url + one.path, f"{public_url}/webhooks/{one.kind}"))
    listed = [{"kind": one.kind, "title": SHOP, "base": one.path} for one in providers]

    async def simulators(_: web.Request) -> web.Response:
        return web.json_response(listed)

    app.router.add_get("/sim", simulators)


def _simulator(kind: str) -> Any:
    # By name: the other commands need not wait for the providers' SDKs to load.
    return import_module(f"connectors.{kind}.simulator")


def _fresh(base: int) -> int:
    return base + int(time.time()) * 100


def _telegram(_: str, __: str) -> web.Application:
    app: web.Application = _simulator("telegram").create_simulator_app(token=_BOT, first_user=_fresh(7_000_000_000))
    return app


def _twilio(*, by_whatsapp: bool) -> Callable[[str, str], web.Application]:
    def make(base: str, _: str) -> web.Application:
        app: web.Application = _simulator("twilio").create_simulator_app(
            account_sid=_ACCOUNT_SID, auth_token=_SECRET, number=_NUMBER, by_whatsapp=by_whatsapp, base=base
        )
        return app

    return make


def _twilio_settings(base: str) -> dict[str, Any]:
    return {"account_sid": _ACCOUNT_SID, "auth_token": _SECRET, "number": _NUMBER, "api_base": base}


def _whatsapp(_: str, webhook: str) -> web.Application:
    simulator = _simulator("whatsapp")
    account = simulator.Account(token=_SECRET, app_secret=_SECRET, phone_number_id=_PHONE_NUMBER, business_account_id=_BUSINESS)
    app: web.Application = simulator.create_simulator_app(account, webhook_url=webhook)
    return app


def _graph(base: str) -> dict[str, Any]:
    return {"access_token": _SECRET, "app_secret": _SECRET, "verify_token": _SECRET, "graph_base": base}


def _messaging(platform: str, account_id: str) -> Callable[[str, str], web.Application]:
    def make(_: str, webhook: str) -> web.Application:
        simulator = _simulator("messenger")
        account = simulator.Account(
            platform=platform, id=account_id, access_token=_SECRET, app_secret=_SECRET, name=SHOP, webhook_url=webhook
        )
        app: web.Application = simulator.create_simulator_app(account, first_person=_fresh(7_200_000_000_000_000))
        return app

    return make


def _email(smtp_port: int, imap_port: int) -> Callable[[str, str], web.Application]:
    def make(_: str, __: str) -> web.Application:
        app: web.Application = _simulator("email").create_simulator_app(
            address=_ADDRESS, secret=_SECRET, authserv=_AUTHSERV, smtp_port=smtp_port, imap_port=imap_port
        )
        return app

    return make


def _email_settings(smtp_port: int, imap_port: int) -> Callable[[str], dict[str, Any]]:
    here = {"host": "127.0.0.1", "security": "none"}
    # The mailbox is as young as the simulator; yesterday, for it may be another day elsewhere.
    since = (datetime.now(UTC) - timedelta(days=1)).date().isoformat()
    settings = {
        "address": _ADDRESS,
        "secret": _SECRET,
        "shop": SHOP,
        "webhook_secret": _SECRET,
        "authserv_ids": [_AUTHSERV],
        "reply_address": _ADDRESS.replace("@", "+{token}@"),
        "mailboxes": [{**here, "port": imap_port, "username": _ADDRESS, "password": _SECRET, "since": since}],
        "smtp": {**here, "port": smtp_port},
    }
    return lambda _: settings


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


def providers() -> tuple[Simulated, ...]:
    """One of each kind, in the order of the phone page."""
    ports = _free_port(), _free_port()
    return (
        Simulated(
            kind="telegram",
            title="Telegram (simulated)",
            settings=lambda base: {
                "token": _BOT,
                "secret_token": _SECRET,
                "mode": "webhook",
                "api_base": base,
                "link_base": f"{base}/t.me",
            },
            make=_telegram,
        ),
        Simulated(
            kind="whatsapp",
            title="WhatsApp (simulated)",
            settings=lambda base: {**_graph(base), "phone_number_id": _PHONE_NUMBER, "business_account_id": _BUSINESS},
            make=_whatsapp,
        ),
        Simulated(
            kind="sms",
            title="SMS (simulated)",
            settings=lambda base: {**_twilio_settings(base), "mms": True},
            make=_twilio(by_whatsapp=False),
        ),
        Simulated(
            kind="whatsapp_twilio", title="WhatsApp by Twilio (simulated)", settings=_twilio_settings, make=_twilio(by_whatsapp=True)
        ),
        Simulated(
            kind="messenger",
            title="Messenger (simulated)",
            settings=lambda base: {**_graph(base), "page_id": _PAGE, "app_id": _APP},
            make=_messaging("messenger", _PAGE),
        ),
        Simulated(
            kind="instagram",
            title="Instagram (simulated)",
            settings=lambda base: {**_graph(base), "account_id": _INSTAGRAM, "app_id": _APP},
            make=_messaging("instagram", _INSTAGRAM),
        ),
        Simulated(kind="email", title="E-mail (simulated)", settings=_email_settings(*ports), make=_email(*ports)),
    )
