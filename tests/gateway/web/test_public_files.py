"""Files that providers fetch: by a signed address that nobody can guess, change or use for ever."""

import functools
from datetime import UTC, datetime, timedelta

import pytest

from config import Secret
from gateway.services import Services
from gateway.web import public_files
from gateway.web.file_tokens import FOR_PROVIDERS, make_token, open_token
from gateway.web.public_files import LIFE, file_linker
from gateway.web.throttle import Rates
from storage.file import StoredFile
from tests.support.cast import Cast
from tests.support.gateway import RunningGateway
from tests.support.pictures import PNG

SECRET = Secret("canary-key-of-the-tests-0123456789abcdef")
NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


async def uploaded(cast: Cast, data: bytes, name: str) -> str:
    answer = await cast.ada.call("POST", "/media", data, headers={"Content-Type": "application/octet-stream", "X-File-Name": name})
    return str(answer.json["id"])


def link(services: Services, file_id: str, life: timedelta = LIFE) -> str:
    return "/files/" + make_token(services.config.server.secret_key, file_id, services.clock() + life)


async def test_a_provider_gets_the_file_as_what_it_is(cast: Cast) -> None:
    path = link(cast.gateway.services, await uploaded(cast, PNG, "caf%C3%A9.png"))
    status, headers, body = await cast.gateway.request("GET", path)
    assert (status, body, headers["Content-Type"]) == (200, PNG, "image/png")
    assert headers["Content-Disposition"] == "attachment; filename*=UTF-8''caf%C3%A9.png"
    assert headers["X-Content-Type-Options"] == "nosniff"
    status, headers, body = await cast.gateway.request("HEAD", path)
    assert (status, body, headers["Content-Length"]) == (200, b"", str(len(PNG)))
    # What a browser might run as a page is a download, by its true type.
    status, headers, _ = await cast.gateway.request("GET", link(cast.gateway.services, await uploaded(cast, b"%PDF-1.7", "a.pdf")))
    assert (status, headers["Content-Type"]) == (200, "application/pdf")
    assert headers["Content-Disposition"].startswith("attachment")


async def test_the_link_that_connectors_are_given_works(cast: Cast) -> None:
    services = cast.gateway.services
    client = services.channels["bot"].client
    file_id = await uploaded(cast, PNG, "a.png")
    address = await client._context.link_file(file_id)  # type: ignore[attr-defined]
    assert address.startswith(services.config.public_url + "/files/")
    assert file_id not in address
    assert (await cast.gateway.request("GET", address.removeprefix(cast.gateway.url)))[0] == 200
    with pytest.raises(OSError, match="med_none"):
        await client._context.link_file("med_none")  # type: ignore[attr-defined]


async def test_a_providers_link_lasts_ten_minutes_and_a_readers_a_day(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    services = cast.gateway.services
    file_id = await uploaded(cast, PNG + b"<script>", "a.png")
    now = services.clock()
    for for_people, life in ((False, timedelta(minutes=10)), (True, timedelta(hours=24))):
        link_file = file_linker(services.config, services.store, services.screen, lambda: now)
        path = (await link_file(file_id, for_people=for_people)).removeprefix(cast.gateway.url)
        for late, status in ((life - timedelta(seconds=2), 200), (life, 404)):
            with monkeypatch.context() as patch:
                patch.setattr(public_files, "open_token", functools.partial(_open_at, now + late))
                assert (await cast.gateway.request("GET", path))[0] == status
        _, headers, body = await cast.gateway.request("GET", path)
        # In a person's browser it is shown, and so made anew.
        assert (headers["Content-Type"], headers["Content-Disposition"].partition(";")[0], body) == (
            "image/png",
            "inline" if for_people else "attachment",
            PNG,
        )


def _open_at(moment: datetime, secret: Secret, token: str, now: datetime, purpose: str = FOR_PROVIDERS) -> str:
    del now
    return open_token(secret, token, moment, purpose)


async def test_every_wrong_link_is_the_same_404(cast: Cast) -> None:
    services = cast.gateway.services
    file_id = await uploaded(cast, PNG, "a.png")
    good = link(services, file_id)
    changed = [good[:index] + ("A" if good[index] != "A" else "B") + good[index + 1 :] for index in range(len("/files/"), len(good) - 1)]
    gone = StoredFile(id="med_gone", sha256="0" * 64, mime="image/png", name="", size=1, created_at=services.clock())
    await services.store.transact(lambda tx: tx.files.put(gone))
    wrong = [
        *changed,
        good[:-3],
        "/files/" + file_id,
        "/files/%C3%A9",
        "/files/" + "A" * 5000,
        link(services, file_id, timedelta(seconds=-1)),
        link(services, "med_none"),
        link(services, "med_gone"),
    ]
    answers = {(status, body) for path in wrong for status, _, body in [await cast.gateway.request("GET", path)]}
    assert {status for status, _ in answers} == {404}
    assert len(answers) == 1
    for path in ("/files", "/files/", "/files/../api"):
        assert (await cast.gateway.request("GET", path))[0] == 404


def test_a_token_is_for_one_file_one_time_and_one_key() -> None:
    token = make_token(SECRET, "med_1", NOW + timedelta(seconds=1))
    assert open_token(SECRET, token, NOW) == "med_1"
    assert open_token(SECRET, token, NOW + timedelta(seconds=1)) == ""
    assert open_token(Secret("canary-another-key-0123456789abcdefgh"), token, NOW) == ""
    assert make_token(SECRET, "med_2", NOW + timedelta(seconds=1)) != token


async def test_too_many_fetches_are_slowed_down(gateway: RunningGateway) -> None:
    rates = Rates(50, 200)
    assert sum(rates.take("a", 0.0) for _ in range(300)) == 200
    statuses = [(await gateway.request("GET", "/files/x"))[0] for _ in range(260)]
    assert 429 in statuses
