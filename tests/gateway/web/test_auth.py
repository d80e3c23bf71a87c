"""Getting in: passwords, links, throttling, and cookies that browsers keep to themselves."""

import asyncio
import statistics
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from gateway.credentials import Kind, issue_link
from gateway.passwords import BadPassword, Passwords
from gateway.web.throttle import Rate, Throttle
from storage.errors import Unavailable
from tests.support.cast import Answer, Cast, assemble
from tests.support.gateway import RunningGateway, gateway_config, running_gateway, with_server

PASSWORD = "canary-password correct horse battery staple"


async def _log_in(gateway: RunningGateway, email: str, password: str, **headers: str) -> Answer:
    return Answer(*await gateway.request("POST", "/api/v1/sessions", json={"email": email, "password": password}, headers=headers))


async def _set_password(cast: Cast) -> None:
    answer = await cast.amy.call("PATCH", f"/agents/{cast.ada.id}", {"password": PASSWORD})
    assert answer.status == 200


async def test_a_password_opens_a_session_and_log_out_ends_it(cast: Cast) -> None:
    await _set_password(cast)
    assert (await cast.ada.get("/me")).status == 401, "a new password ends the sessions before it"
    answer = await _log_in(cast.gateway, " ADA@example.org ", PASSWORD)
    assert (answer.status, answer.json["agent"]["name"]) == (201, "Ada")
    cookie = answer.headers["Set-Cookie"]
    assert cookie.startswith("sportello_session=")
    assert {"HttpOnly", "SameSite=Lax", "Path=/"} <= {part.strip() for part in cookie.split(";")}
    mine = {"Cookie": cookie.split(";")[0]}
    assert (await cast.gateway.request("GET", "/api/v1/me", headers=mine))[0] == 200
    again = await _log_in(cast.gateway, "ada@example.org", PASSWORD, **mine)
    assert again.headers["Set-Cookie"].split(";")[0] != mine["Cookie"]
    assert (await cast.gateway.request("GET", "/api/v1/me", headers=mine))[0] == 401, "the planted session is not continued"
    mine = {"Cookie": again.headers["Set-Cookie"].split(";")[0], "Origin": cast.gateway.url}
    status, headers, _ = await cast.gateway.request("DELETE", "/api/v1/sessions", headers=mine)
    assert (status, "Max-Age=0" in headers["Set-Cookie"]) == (204, True)
    assert (await cast.gateway.request("GET", "/api/v1/me", headers=mine))[0] == 401


async def test_wrong_and_unknown_look_the_same_and_take_the_same_time(cast: Cast) -> None:
    await _set_password(cast)
    wrong = await _log_in(cast.gateway, "ada@example.org", "wrong password")
    unknown = await _log_in(cast.gateway, "nobody@example.org", "wrong password")
    assert (wrong.status, wrong.raw) == (unknown.status, unknown.raw) == (401, wrong.raw)
    passwords = Passwords()
    kept = await passwords.hash(PASSWORD)
    times: dict[str, list[float]] = {kept: [], "": []}
    for _ in range(5):
        for one, list_ in times.items():
            began = time.perf_counter()
            assert not await passwords.verify(one, "wrong password")
            list_.append(time.perf_counter() - began)
    known, nobody = (statistics.median(list_) for list_ in times.values())
    assert 0.5 < known / nobody < 2


async def test_guessing_is_slowed_down(cast: Cast) -> None:
    answers = [await _log_in(cast.gateway, "ada@example.org", f"guess number {number}") for number in range(7)]
    assert [answer.status for answer in answers] == [401] * 5 + [429] * 2
    assert answers[-1].code == "too_many_attempts"
    assert int(answers[-1].headers["Retry-After"]) >= 1


async def test_a_login_from_a_foreign_page_is_refused(cast: Cast) -> None:
    answer = await _log_in(cast.gateway, "ada@example.org", PASSWORD, Origin="https://evil.example")
    assert (answer.status, answer.code) == (403, "csrf")


async def test_a_link_works_once(cast: Cast) -> None:
    services = cast.gateway.services
    link = await services.store.transact(lambda tx: issue_link(tx, cast.ada.id, services.clock()))
    tries = [await cast.gateway.request("POST", "/api/v1/sessions/link", json={"token": link}) for _ in range(2)]
    assert [status for status, _, _ in tries] == [201, 401]
    assert "Set-Cookie" in tries[0][1]
    old = await services.store.transact(lambda tx: issue_link(tx, cast.ada.id, services.clock() - timedelta(hours=2)))
    assert (await cast.gateway.request("POST", "/api/v1/sessions/link", json={"token": old}))[0] == 401


async def test_with_https_the_cookie_is_bound_to_the_host(tmp_path: Path) -> None:
    config = with_server(gateway_config(tmp_path), public_url="https://chat.example.org")
    async with running_gateway(config) as gateway:
        cast = await assemble(gateway)
        services = gateway.services
        link = await services.store.transact(lambda tx: issue_link(tx, cast.ada.id, services.clock()))
        async with gateway.http.post(f"http://127.0.0.1:{gateway.port}/api/v1/sessions/link", json={"token": link}) as response:
            assert response.status == 201
            assert response.headers["Set-Cookie"].startswith("__Host-sportello_session=")
            assert "; Secure" in response.headers["Set-Cookie"]
            assert response.headers["Strict-Transport-Security"].startswith("max-age=")


async def test_sessions_end_by_time(cast: Cast) -> None:
    services = cast.gateway.services
    for person, hours in ((cast.ada, 9), (cast.sue, 1)):
        credentials = await services.store.view(lambda tx, person=person: tx.agents.credentials(person.id, "session"))  # type: ignore[misc]
        for credential in credentials:
            used = services.clock() - timedelta(hours=hours)
            await services.store.transact(lambda tx, c=credential, u=used: tx.agents.touch_credential(c.id, u))  # type: ignore[misc]
    assert (await cast.ada.get("/me")).status == 401
    assert (await cast.sue.get("/me")).status == 200


def test_the_throttle_doubles_forgets_and_stays_small() -> None:
    now = [datetime(2026, 1, 1, tzinfo=UTC)]
    throttle = Throttle(lambda: now[0], free=3, most=100)
    waits = []
    for _ in range(16):
        throttle.count(("a",))
        waits.append(throttle.wait(("a", "b")))
    assert waits[:5] == [0, 0, 1, 2, 4]
    assert waits[-1] == 900
    now[0] += timedelta(minutes=16)
    assert throttle.wait(("a",)) == 0
    for number in range(1000):
        throttle.count((f"address {number}",))
    assert len(throttle._records) == 100


def test_the_rate_allows_a_burst_and_then_so_many_a_second() -> None:
    rate = Rate(20, 20, 0.0)
    assert [rate.take(0.0) for _ in range(21)] == [True] * 20 + [False]
    assert [rate.take(0.1) for _ in range(3)] == [True, True, False]


async def test_passwords_have_a_least_and_a_greatest_length() -> None:
    passwords = Passwords()
    for bad in ("short", "canary-" + "x" * 1018):
        with pytest.raises(BadPassword):
            await passwords.hash(bad)
    kept = await passwords.hash(PASSWORD)
    assert "m=19456,t=2,p=1" in kept
    assert list(
        await asyncio.gather(passwords.verify(kept, PASSWORD), passwords.verify(kept, "x"), passwords.verify("junk", PASSWORD))
    ) == [
        True,
        False,
        False,
    ]


async def test_reading_goes_on_while_nothing_can_be_written(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also for who has done nothing for a minute, so that their use of the session ought to be noted."""
    store, now = cast.gateway.services.store, cast.gateway.services.clock()
    for credential in await store.view(lambda tx: tx.agents.credentials(cast.ada.id, Kind.SESSION)):
        await store.transact(lambda tx, id_=credential.id: tx.agents.touch_credential(id_, now - timedelta(hours=1)))  # type: ignore[misc]

    async def full(work: object) -> None:
        raise Unavailable(f"the disk is full: {work}")

    monkeypatch.setattr(store, "transact", full)
    assert (await cast.ada.get("/conversations")).status == 200
    assert (await cast.ada.post("/feed-tickets")).status == 503


def test_a_clock_that_is_put_back_locks_nobody_out() -> None:
    now = datetime(2026, 11, 21, tzinfo=UTC)
    throttle = Throttle(lambda: now, free=1)
    throttle.count(["ada", "ada"])
    now -= timedelta(days=1)
    assert 0 < throttle.wait(["ada"]) <= 2
    now += timedelta(seconds=2)
    assert throttle.wait(["ada"]) == 0
