"""Every row of bad input gets the answer that the table says, leaves nothing behind, and is never our fault (5xx)."""

from pathlib import Path

import pytest

from tests.gateway.bad_input.played import PLAYED, REQUIRED
from tests.gateway.bad_input.rows import CASES, QUARANTINED, RECEIVED, Case
from tests.support.cast import Answer, Cast
from tests.support.gateway import RunningGateway

_ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="session")
async def open_conversation(stage: Cast) -> dict[str, str]:
    """Ada's open conversation with Cleo, for the placeholders."""
    conversation = await stage.conversation("For the bad input")
    assert (await stage.ada.post(f"/conversations/{conversation['id']}/accept")).status == 200
    return {"conversation": conversation["id"], "customer": conversation["customer_id"], "returns": stage.returns.id}


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.row} {case.name}"[:80])
async def test_bad_input(case: Case, stage: Cast, open_conversation: dict[str, str]) -> None:
    path = case.path.format(**open_conversation) if "{" in case.path else case.path
    before = await _counts(stage.gateway)
    messages = await _messages(stage, open_conversation["conversation"])
    answer = await _send(stage, case, path)
    assert answer.status in case.status, answer.raw[:300]
    assert answer.status < 500
    if case.code:
        assert answer.code == case.code, answer.raw[:300]
        assert answer.headers["Content-Type"].startswith("application/problem+json")
    for name in case.without:
        assert name not in answer.headers
    after = await _counts(stage.gateway)
    assert {name: after[name] - before[name] for name in after} == {**dict.fromkeys(after, 0), **case.adds}
    assert await _messages(stage, open_conversation["conversation"]) == messages


def test_every_required_row_has_an_entry() -> None:
    covered = {case.row for case in CASES} | set(PLAYED)
    assert covered == set(REQUIRED)


def test_every_named_test_exists() -> None:
    for name in (name for names in PLAYED.values() for name in names):
        path, _, function = name.partition("::")
        assert f"def {function}(" in (_ROOT / path).read_text(), name


async def _send(stage: Cast, case: Case, path: str) -> Answer:
    headers = dict(case.headers)
    if case.who:
        person = getattr(stage, case.who)
        headers = {**person.cookie_header, **headers}
        if "Sec-Fetch-Site" in case.headers and "Origin" not in case.headers:
            del headers["Origin"]
    headers = {name: value for name, value in headers.items() if not (name == "Origin" and not value)}
    return Answer(*await stage.gateway.request(case.method, path, data=case.body, headers=headers))


async def _counts(gateway: RunningGateway) -> dict[str, int]:
    store = gateway.services.store
    return {name: await store.view(lambda tx, name=name: tx.stream.count(name)) for name in (RECEIVED, QUARANTINED)}  # type: ignore[misc]


async def _messages(stage: Cast, conversation: str) -> int:
    return len(await stage.gateway.services.store.view(lambda tx: tx.messages.of_conversation(conversation, 0, 0, 200)))
