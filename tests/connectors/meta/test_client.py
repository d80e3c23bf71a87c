"""The Graph client against a real server: where the token goes, pages, links."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from connectors.contract import Call, ClientContext, no_links
from connectors.meta.client import GraphClient, accept_media_url, fetched
from connectors.meta.failure import failure_of
from tests.support.graph import TOKEN, make_settings
from tests.support.serving import serving


@dataclass
class Meta:
    """A server that notes what it is asked."""

    client: GraphClient
    root: str
    other: str
    asked: list[tuple[str, str]] = field(default_factory=list)


@pytest.fixture
async def meta() -> AsyncIterator[Meta]:
    asked: list[tuple[str, str]] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        asked.append((str(request.rel_url), request.headers.get("Authorization", "")))
        match request.path.rpartition("/")[2]:
            case "list":
                after = int(request.query.get("after", "0"))
                paging: dict[str, Any] = {"cursors": {"after": str(after + 2)}}
                if after < 4:
                    paging["next"] = f"{request.url.with_query({'access_token': TOKEN})}"
                return web.json_response({"data": [after, after + 1], "paging": paging})
            case "endless":
                return web.json_response({"data": [1], "paging": {"cursors": {"after": "same"}, "next": "x"}})
            case "bytes":
                return web.Response(body=b"x" * 1000, content_type="image/png")
            case "away":
                return web.Response(status=302, headers={"Location": request.query["to"]})
            case "round":
                return web.Response(status=302, headers={"Location": "/round"})
            case "gone":
                return web.Response(status=404)
            case _:
                return web.json_response({"ok": True})

    app, second = web.Application(), web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    second.router.add_route("*", "/{path:.*}", answer)
    async with serving(app) as root, serving(second) as other, aiohttp.ClientSession() as session:

        async def read_file(stored: str) -> bytes:
            raise FileNotFoundError(stored)

        context = ClientContext(session=session, channel="shop", read_file=read_file, link_file=no_links)
        yield Meta(GraphClient(make_settings(root), context), root, other, asked)


async def test_m7_the_token_is_in_the_header_and_in_no_address(meta: Meta) -> None:
    await meta.client.get("123", {"fields": "id"})
    await meta.client.post("123/messages", {"a": 1})
    await meta.client.send(Call(method="POST", url=f"{meta.root}/v26.0/123/messages", json={}))
    assert [item async for item in meta.client.items("list")] == [0, 1, 2, 3, 4, 5]
    assert all(authorization == f"Bearer {TOKEN}" and TOKEN not in url for url, authorization in meta.asked)
    assert meta.asked[0][0] == "/v26.0/123?fields=id"


async def test_a_call_for_another_server_is_not_made(meta: Meta) -> None:
    reply = await meta.client.send(Call(method="POST", url=f"{meta.other}/v26.0/1/messages", json={}))
    assert (reply.status, reply.written, meta.asked) == (0, False, [])


async def test_a_list_that_does_not_end_ends(meta: Meta) -> None:
    assert [item async for item in meta.client.items("endless")] == [1, 1]


async def test_a_list_that_does_not_come_is_an_error_without_secrets(meta: Meta) -> None:
    with pytest.raises(OSError, match="did not give the list gone") as caught:
        [item async for item in meta.client.items("gone")]
    assert TOKEN not in str(caught.value)


async def test_a_link_within_bounds(meta: Meta) -> None:
    found = await meta.client.download(f"{meta.root}/bytes", 1000, bearer=True)
    assert (found.status, len(found.data), found.mime) == (200, 1000, "image/png")
    assert (await meta.client.download(f"{meta.root}/bytes", 999, bearer=True)).too_large
    await meta.client.download(f"{meta.root}/bytes", 1000, bearer=False)
    assert [authorization for _, authorization in meta.asked] == [f"Bearer {TOKEN}"] * 2 + [""]


async def test_a_redirect_to_elsewhere_is_not_followed_and_gets_no_token(meta: Meta) -> None:
    found = await meta.client.download(f"{meta.root}/away?to={meta.other}/bytes", 1000, bearer=True)
    assert (found.data, found.problem) == (b"", "the link does not lead to a host of Meta's")
    assert len(meta.asked) == 1
    assert (await meta.client.download(f"{meta.root}/round", 1000, bearer=True)).problem == "too many redirects"


@pytest.mark.parametrize(
    ("url", "right"),
    [
        ("https://lookaside.fbsbx.com/whatsapp_business/attachments/?mid=1", True),
        ("https://scontent.xx.fbcdn.net/v/1.jpg", True),
        ("https://scontent.cdninstagram.com/1.jpg", True),
        ("https://LOOKASIDE.FBSBX.COM/x", True),
        ("https://graph.example.org/x", True),
        ("http://lookaside.fbsbx.com/x", False),
        ("https://lookaside.fbsbx.com:8443/x", False),
        ("https://fbsbx.com.evil.example/x", False),
        ("https://evilfbsbx.com/x", False),
        ("https://lookaside.fbsbx.com@evil.example/x", False),
        ("https://user:pass@lookaside.fbsbx.com/x", False),
        ("https://169.254.169.254/latest", False),
        ("http://127.0.0.1:9/x", False),
        ("file:///etc/passwd", False),
        ("https://[::1", False),
        ("", False),
    ],
)
def test_only_hosts_of_metas_are_fetched_from(url: str, right: bool) -> None:  # noqa: FBT001
    assert accept_media_url(url, "https://graph.example.org") is right


async def test_what_is_gone_is_not_asked_for_again(meta: Meta) -> None:
    gone = fetched(await meta.client.download(f"{meta.root}/gone", 10, bearer=True))
    assert (gone.retry, "404" in gone.problem) == (False, True)
    away = fetched(await meta.client.download("http://127.0.0.1:9/x", 10, bearer=True))
    assert away.problem


async def test_no_answer_is_not_known_to_be_harmless() -> None:
    async with aiohttp.ClientSession() as session:

        async def read_file(stored: str) -> bytes:
            raise FileNotFoundError(stored)

        client = GraphClient(make_settings("http://127.0.0.1:9"), ClientContext(session=session, channel="c", read_file=read_file))
        reply = await client.send(Call(method="POST", url="http://127.0.0.1:9/v26.0/1/messages", json={}))
        assert (reply.status, reply.written) == (0, False)
        assert failure_of(reply, {}).kind == "transient"
