"""One click and no more of what goes to many (RFC 8058), through the whole gateway and a real SMTP server."""

from collections.abc import AsyncIterator
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from config import ChannelConfig
from connectors.email.inbound import SECRET_HEADER
from gateway.web.signing import seal
from gateway.work.calling import outbound_of
from tests.support.cast import Cast, assemble
from tests.support.gateway import CHANNELS, RunningGateway, gateway_config, running_gateway
from tests.support.mail import BASE, WEBHOOK_SECRET, Post, mail, running_post, smtp_section

HOOK = {SECRET_HEADER: WEBHOOK_SECRET, "Content-Type": "message/rfc822"}
ONE_CLICK = b"List-Unsubscribe=One-Click"
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
MULTIPART = {"Content-Type": "multipart/form-data; boundary=x"}
PARTS = b'--x\r\nContent-Disposition: form-data; name="List-Unsubscribe"\r\n\r\nOne-Click\r\n--x--\r\n'


@pytest.fixture
async def post() -> AsyncIterator[Post]:
    async with running_post() as server:
        yield server


@pytest.fixture
async def cast(tmp_path: Path, post: Post) -> AsyncIterator[Cast]:
    settings = {**BASE, "smtp": smtp_section(post)}
    config = gateway_config(tmp_path, {**CHANNELS, "mail": ChannelConfig(kind="email", title="Mail", settings=settings)})
    async with running_gateway(config) as gateway:
        yield await assemble(gateway)


async def _conversation(cast: Cast) -> dict[str, Any]:
    async with cast.sue.feed() as feed:
        assert (await cast.gateway.request("POST", "/webhooks/mail", data=mail(), headers=HOOK))[0] == 200
        frame = await feed.until(lambda one: one["type"] == "message.added" and one["data"]["message"]["kind"] == "inbound")
    return dict((await cast.sue.get(f"/conversations/{frame['data']['message']['conversation_id']}")).json["conversation"])


def _path(cast: Cast, conversation: dict[str, Any]) -> str:
    return "/unsubscribe/" + seal(cast.gateway.services.config.server.secret_key, "unsubscribe", conversation["id"])


async def _opted_out(cast: Cast, conversation: dict[str, Any]) -> bool:
    customer = (await cast.sue.get(f"/customers/{conversation['customer_id']}")).json
    return any(one["opted_out"] for one in customer["identities"])


async def _post(gateway: RunningGateway, path: str, body: bytes = ONE_CLICK, headers: dict[str, str] = FORM) -> tuple[int, bytes]:
    status, _, raw = await gateway.request("POST", path, data=body, headers=headers)
    return status, raw


async def test_a_look_changes_nothing_and_a_click_counts_as_stop(cast: Cast) -> None:
    conversation = await _conversation(cast)
    path = _path(cast, conversation)
    for method in ("GET", "HEAD"):
        status, headers, raw = await cast.gateway.request(method, path, headers={"Accept-Language": "fr;q=1, pl-PL, en"})
        assert (status, headers["Content-Type"], headers["Cache-Control"]) == (200, "text/html; charset=utf-8", "no-store")
        assert headers["Referrer-Policy"] == "no-referrer"
        assert "'unsafe-inline'" not in headers["Content-Security-Policy"]
    assert "ada@example.org" not in raw.decode()
    assert not await _opted_out(cast, conversation)

    status, _, raw = await cast.gateway.request("GET", path, headers={"Accept-Language": "pl-PL"})
    assert "Zatrzymaj te wiadomości" in raw.decode()
    assert not await _opted_out(cast, conversation)

    assert (await _post(cast.gateway, path))[0] == 200
    assert await _opted_out(cast, conversation)
    refused = await cast.sue.post(f"/conversations/{conversation['id']}/messages", {"text": "News!", "priority": "bulk"})
    assert (refused.status, refused.json["code"]) == (409, "opted_out")
    # Once more is no more.
    assert (await _post(cast.gateway, path))[0] == 200
    lines = (await cast.sue.get(f"/conversations/{conversation['id']}/messages")).json["items"]
    assert [part.get("code") for line in lines for part in line["parts"]].count("opted_out") == 1


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (PARTS, MULTIPART, 200),
        (b"", FORM, 400),
        (b"List-Unsubscribe=No", FORM, 400),
        (b"x=1&List-Unsubscribe=Two&List-Unsubscribe=One-Click", FORM, 400),
        (ONE_CLICK, {"Content-Type": "text/plain"}, 400),
        (PARTS.replace(b"One-Click", b"Two-Click"), MULTIPART, 400),
        (ONE_CLICK + b"&x=" + b"y" * 5000, FORM, 413),
    ],
)
async def test_only_what_mail_programs_send_counts(cast: Cast, body: bytes, headers: dict[str, str], status: int) -> None:
    conversation = await _conversation(cast)
    assert (await _post(cast.gateway, _path(cast, conversation), body, headers))[0] == status
    assert await _opted_out(cast, conversation) is (status == 200)


async def test_every_forged_link_is_the_same_404(cast: Cast) -> None:
    conversation = await _conversation(cast)
    good = _path(cast, conversation)
    key = cast.gateway.services.config.server.secret_key
    forged = [
        good[:-2] + ("A" if good[-2] != "A" else "B") + good[-1],
        good[:14] + ("A" if good[14] != "A" else "B") + good[15:],
        "/unsubscribe/" + seal(key, "picture", conversation["id"]),
        "/unsubscribe/" + conversation["id"],
        "/unsubscribe/!",
        "/unsubscribe/" + "A" * 5000,
    ]
    for path in forged:
        assert [(await _post(cast.gateway, path))[0], (await cast.gateway.request("GET", path))[0]] == [404, 404], path
    assert not await _opted_out(cast, conversation)
    # A link of a conversation that is gone is no news to whoever clicks.
    assert (await _post(cast.gateway, _path(cast, {"id": "cnv_gone"})))[0] == 200


@pytest.mark.parametrize(
    ("fields", "automatic", "linked"),
    [({}, False, False), ({"priority": "bulk"}, False, True), ({"priority": "bulk"}, True, False)],
    ids=["an answer", "a campaign", "a machine's answer"],
)
async def test_only_what_goes_to_many_has_a_link(cast: Cast, post: Post, fields: dict[str, str], automatic: bool, linked: bool) -> None:  # noqa: FBT001
    conversation = await _conversation(cast)
    posted = await cast.sue.post(f"/conversations/{conversation['id']}/messages", {"text": "News!", **fields})
    assert posted.status == 201, posted.raw
    services = cast.gateway.services
    item = await services.store.view(lambda tx: tx.outbox.get(posted.json["message"]["id"]))
    assert item is not None
    outbound = outbound_of(services, structs.replace(item, automatic=automatic), None)
    assert bool(outbound.unsubscribe) is linked
    if linked:
        path = outbound.unsubscribe.removeprefix(cast.gateway.url)
        assert (await _post(cast.gateway, path))[0] == 200
        assert await _opted_out(cast, conversation)
    # This gateway has no https address: the mail itself has no such header, for what it promised would not be so.
    found = message_from_bytes(await post.mail(), policy=policy.default)
    assert [found["List-Unsubscribe"], found["List-Unsubscribe-Post"]] == [None, None]
