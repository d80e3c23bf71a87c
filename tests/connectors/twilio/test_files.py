"""Files that people sent: fetched with credentials, never from elsewhere, and deleted where the operator wants it."""

import pytest
from aiohttp import web

from connectors.content import Media
from connectors.event import MessageReceived
from connectors.sms import CONNECTOR as SMS
from tests.support.pictures import PNG
from tests.support.serving import serving
from tests.support.twilio import TOKEN, Bench, sms_settings, twilio_bench
from tests.support.twilio_sends import ADA
from tests.support.waiting import until


async def photo_of(bench: Bench) -> str:
    await bench.phone.person(ADA)
    await bench.phone.say(ADA, "", (PNG, "image/png"))
    await until(lambda: len(bench.inbox.requests) == 1)
    (event,) = SMS.parse(bench.inbox.requests[0], sms_settings())
    assert isinstance(event, MessageReceived)
    (media,) = event.parts
    assert isinstance(media, Media)
    assert TOKEN not in media.ref
    return media.ref


async def test_t6_a_file_is_fetched_with_credentials(bench: Bench) -> None:
    ref = await photo_of(bench)
    _, client = bench.sms()
    found = await client.fetch_media(ref, len(PNG))
    assert (found.data, found.mime, found.problem) == (PNG, "image/png", "")
    _, stranger = bench.sms(auth_token="canary-wrong-token")
    assert "access refused" in (await stranger.fetch_media(ref, 1000)).problem


async def test_t6_a_file_that_is_not_there_yet_is_tried_again(bench: Bench) -> None:
    """T6: Twilio announces it some seconds before it can be had."""
    ref = await photo_of(bench)
    await bench.phone.fault("error", on="media", code=404)
    _, client = bench.sms()
    assert (await client.fetch_media(ref, 1000)).retry
    assert (await client.fetch_media(ref, 1000)).data == PNG


async def test_t6_too_large_and_away(bench: Bench) -> None:
    ref = await photo_of(bench)
    _, client = bench.sms()
    large = await client.fetch_media(ref, len(PNG) - 1)
    assert ("larger" in large.problem, large.retry, large.data) == (True, False, b"")
    await bench.phone.fault("500", on="media")
    assert (await client.fetch_media(ref, 1000)).retry
    away = await client.fetch_media("http://127.0.0.1:9/x", 1000)
    assert (bool(away.problem), away.retry) == (True, True)
    assert "web" in (await client.fetch_media("file:///etc/passwd", 1000)).problem


async def test_t6_the_credentials_do_not_follow_a_redirect() -> None:
    """T6: the store refuses who shows any, as the real one does."""
    async with twilio_bench() as far, twilio_bench(store=far.root) as bench:
        ref = await photo_of(bench)
        far.place.messages.update(bench.place.messages)
        far.place.phone.files.update(bench.place.phone.files)
        _, client = bench.sms()
        assert (await client.fetch_media(ref, 1000)).data == PNG


@pytest.mark.parametrize("inside", ["http://localhost:9/x", "http://[::1]:9/x", "http://169.254.169.254/latest", "http://10.0.0.1/x"])
async def test_t6_no_redirect_leads_into_our_network(inside: str) -> None:
    async with twilio_bench(store=inside.rpartition("/")[0]) as bench:
        ref = await photo_of(bench)
        _, client = bench.sms()
        found = await client.fetch_media(ref, 1000)
        await client.close()
        assert (found.data, found.retry) == (b"", False)
        assert "not a public address" in found.problem


async def test_t6_no_redirect_goes_on_for_ever(bench: Bench) -> None:
    asked: list[str] = []

    async def on(request: web.Request) -> web.Response:
        asked.append(request.path)
        raise web.HTTPFound(f"/round/{len(asked)}")

    app = web.Application()
    app.router.add_get("/round/{number}", on)
    async with serving(app) as root:
        _, client = bench.sms(api_base=root)
        assert "more than 3 times" in (await client.fetch_media(f"{root}/round/0", 1000)).problem
    assert len(asked) == 4


async def test_t6_the_copy_at_twilio_is_deleted_if_the_operator_wants_it(bench: Bench) -> None:
    ref = await photo_of(bench)
    _, keeping = bench.sms()
    await keeping.discard_media(ref)
    assert (await keeping.fetch_media(ref, 1000)).data == PNG
    _, client = bench.sms(delete_media=True)
    await client.discard_media("http://127.0.0.1:9/elsewhere")
    await client.discard_media(ref)
    assert (await client.fetch_media(ref, 1000)).data == b""
    await client.discard_media(ref)
