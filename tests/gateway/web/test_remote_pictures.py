"""A mail's pictures from afar: nobody goes there before an agent asks, and then only the gateway, without a cookie or a referrer."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from gateway.web.picture_fetch import MAX_BYTES
from gateway.web.signing import seal
from gateway.work.actor import GATEWAY
from routing.command import PutAgent, SetMember
from storage.ids import random_id
from tests.support.afar import HOOK, PIXEL, SVG, Tracker, config_with_mail, html_mail, running_tracker
from tests.support.cast import Cast, Colleague, assemble
from tests.support.gateway import running_gateway
from tests.support.pictures import FRAME, PNG, gif, jpeg, png


@dataclass
class Town:
    cast: Cast
    tracker: Tracker

    async def mail(self, html: str, id_: str = "one@example.org") -> dict[str, Any]:
        """The line that agents see."""
        async with self.cast.sue.feed() as feed:
            assert (await self.cast.gateway.request("POST", "/webhooks/mail", data=html_mail(html, id_), headers=HOOK))[0] == 200
            frame = await feed.until(lambda one: one["type"] == "message.added" and one["data"]["message"]["kind"] == "inbound")
        return dict(frame["data"]["message"])

    async def links(self, message: dict[str, Any], who: Colleague | None = None) -> Any:
        answer = await (who or self.cast.sue).get(f"/conversations/{message['conversation_id']}/messages/{message['id']}/pictures")
        return answer.json["items"] if answer.status == 200 else answer.status

    async def fetched(self, link: str) -> tuple[int, Any, bytes]:
        return await self.cast.gateway.request("GET", link)

    async def picture(self, path: str) -> int:
        """The status of what lies at ``path`` of the tracker."""
        message = await self.mail(f"<p>Hi</p><img src={self.tracker.root}{path}>", f"{path.strip('/')}@example.org")
        return (await self.fetched((await self.links(message))[0]))[0]


@pytest.fixture
async def town(tmp_path: Path) -> AsyncIterator[Town]:
    async with running_tracker() as tracker, running_gateway(config_with_mail(tmp_path, tracker.place)) as gateway:
        yield Town(await assemble(gateway), tracker)


async def test_nothing_is_fetched_before_it_is_asked_for_and_then_once(town: Town) -> None:
    message = await town.mail(f"<p>Hi</p><img src='{town.tracker.root}/p.gif?who=ada'><img src='{town.tracker.root}/q.png'>")
    (html,) = (part for part in message["parts"] if part["type"] == "html")
    assert 'src="remote:0"' in html["html"]
    assert town.tracker.root not in html["html"]
    first, second = await town.links(message)
    assert town.tracker.seen == []

    status, headers, body = await town.fetched(first)
    assert (status, body, headers["Content-Type"]) == (200, PIXEL, "image/png")
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Content-Security-Policy"] == "default-src 'none'; sandbox"
    assert headers["Cache-Control"].startswith("private")
    assert "Set-Cookie" not in headers
    ((path, sent),) = town.tracker.seen
    assert path == "/p.gif?who=ada"
    assert not {"cookie", "referer", "authorization", "origin", "x-forwarded-for"} & set(sent)
    # What the server would remember us by is not given back.
    await town.fetched(second)
    assert "cookie" not in town.tracker.seen[-1][1]


@pytest.mark.parametrize(
    ("body", "mime", "status"),
    [
        (PNG, "text/html", 200),
        (gif(FRAME), "image/gif", 200),
        (jpeg(), "image/jpeg", 200),
        (SVG, "image/svg+xml", 502),
        (SVG, "image/png", 502),
        (b"<script>alert(1)</script>", "image/png", 502),
        (b"@import url(x);", "text/css", 502),
        (b"wOF2" + b"\0" * 60, "font/woff2", 502),
        (b"", "image/png", 502),
        (png(40_000, 40_000), "image/png", 502),
        (b"\x89PNG\r\n\x1a\n" + b"\0" * 60, "image/png", 502),
        (png(2, 2), "image/png", 502),
        (PIXEL + b"\0" * MAX_BYTES, "image/png", 502),
    ],
)
async def test_only_pictures_come_through(town: Town, body: bytes, mime: str, status: int) -> None:
    town.tracker.files["/x"] = (body, mime)
    assert await town.picture("/x") == status


async def test_what_is_shown_is_made_anew(town: Town) -> None:
    town.tracker.files["/x"] = (dirty := PNG + b"<script>alert(1)</script>", "image/png")
    message = await town.mail(f"<p>Hi</p><img src={town.tracker.root}/x>")
    assert (await town.fetched((await town.links(message))[0]))[::2] == (200, PNG)
    assert dirty != PNG


async def test_each_redirect_is_looked_at(town: Town) -> None:
    async with running_tracker() as inside:
        town.tracker.redirects |= {"/a": "/b", "/b": "/c", "/c": "/p.png", "/round": "/round", "/in": f"{inside.root}/secret.png"}
        town.tracker.redirects |= {"/file": "file:///etc/passwd", "/own": f"{town.cast.gateway.url}/healthz"}
        assert [await town.picture(path) for path in ("/a", "/round", "/in", "/file", "/own")] == [200, 502, 502, 502, 502]
        assert inside.seen == []


async def test_no_private_host_is_asked(tmp_path: Path) -> None:
    async with running_tracker() as tracker, running_gateway(config_with_mail(tmp_path)) as gateway:
        town = Town(await assemble(gateway), tracker)
        assert await town.picture("/p.png") == 502
        assert tracker.seen == []


async def test_who_may_not_see_the_mail_sees_no_picture(town: Town) -> None:
    message = await town.mail(f"<p>Hi</p><img src={town.tracker.root}/p.png>")
    other = await town.mail("<p>Hi <b>you</b></p>", "two@other.example")
    cast = town.cast
    assert await town.links(message, cast.ben) == 404, "Ben is not in the queue"
    assert await town.links({**message, "conversation_id": "cnv_none"}) == 404
    assert await town.links({**message, "id": "msg_none"}) == 404
    assert await town.links({**message, "conversation_id": other["conversation_id"]}) == 404, "an open door is none into the next room"
    assert await town.links(other) == []
    (link,) = await town.links(message, cast.ada)
    assert (await town.fetched(link))[0] == 200
    # She leaves the queue: what she was given is worth nothing any more.
    queue = (await cast.sue.get(f"/conversations/{message['conversation_id']}")).json["conversation"]["queue_id"]
    services = cast.gateway.services
    leave = SetMember(id=random_id("cmd", services.clock()), actor=GATEWAY, queue_id=queue, agent_id=cast.ada.id, member=False)
    await services.router.handle(leave)
    assert (await town.fetched(link))[0] == 404
    (link,) = await town.links(message)
    await services.router.handle(PutAgent(id=random_id("cmd", services.clock()), actor=GATEWAY, agent_id=cast.sue.id, disabled=True))
    assert (await town.fetched(link))[0] == 404
    assert len(town.tracker.seen) == 1


async def test_every_forged_or_old_address_is_the_same_404(town: Town) -> None:
    message = await town.mail(f"<p>Hi</p><img src={town.tracker.root}/p.png>")
    (link,) = await town.links(message)
    services = town.cast.gateway.services
    secret, now = services.config.server.secret_key, services.clock()

    def sealed(purpose: str = "remote-picture", minutes: int = 5) -> str:
        until = int((now + timedelta(minutes=minutes)).timestamp())
        return "/pictures/" + seal(secret, purpose, f"{until:x}.{town.cast.sue.id}.{message['id']}.0")

    assert (await town.fetched(sealed()))[0] == 200
    forged = [sealed("unsubscribe"), sealed(minutes=-1), link[:20] + ("A" if link[20] != "A" else "B") + link[21:], "/pictures/x"]
    assert {(await town.fetched(one))[0] for one in forged} == {404}
    bodies = {msgspec.json.encode({**msgspec.json.decode((await town.fetched(one))[2]), "instance": ""}) for one in forged}
    assert len(bodies) == 1
    assert len(town.tracker.seen) == 1


async def test_at_an_origin_for_files_they_come_from_there(tmp_path: Path) -> None:
    async with running_tracker() as tracker:
        config = config_with_mail(tmp_path, tracker.place)
        apart = replace(config, media=replace(config.media, origin="http://files.example.org"))
        async with running_gateway(apart) as gateway:
            town = Town(await assemble(gateway), tracker)
            (link,) = await town.links(await town.mail(f"<p>Hi</p><img src={tracker.root}/p.png>"))
            path = link.removeprefix("http://files.example.org")
            assert (await gateway.request("GET", path))[0] == 302
            status, _, body = await gateway.request("GET", path, headers={"Host": "files.example.org"})
            assert (status, body) == (200, PIXEL)
