"""Names of people, asked of the simulator over real connections."""

from typing import Any

import pytest
from aiohttp import web

from connectors.abilities import Profile, ProfileSource
from tests.support.messenger import TOKEN, MetaBench
from tests.support.serving import serving


async def test_m8_who_has_written_has_a_name(bench: MetaBench) -> None:
    client = bench.client()
    assert isinstance(client, ProfileSource)
    person = await bench.phone.person("Cleo Maria Bianchi")
    await bench.phone.say(person, text="Ciao")
    assert await client.profile(person) == Profile(name="Cleo Maria Bianchi")


async def test_m8_who_has_only_commented_has_given_no_consent(bench: MetaBench) -> None:
    person = await bench.phone.person()
    await bench.phone.say(person, text="How much?", post="900")
    found = await bench.client().profile(person)
    assert (found.name, found.retry) == ("", False)
    assert ("230" if bench.platform == "instagram" else "100/2018218") in found.problem


@pytest.mark.parametrize("value", ["user_ref:7", "comment:900_1", "me", "", "1/../2", "７"])
async def test_what_is_no_persons_id_is_asked_of_nobody(bench: MetaBench, value: str) -> None:
    found = await bench.client().profile(value)
    assert (found.name, found.retry, bool(found.problem)) == ("", False, True)
    assert list(bench.simulator.calls) == []


@pytest.mark.parametrize(
    ("fault", "retry"),
    [
        ({"kind": "error", "code": 10}, False),
        ({"kind": "error", "code": 190}, False),
        ({"kind": "error", "code": 200}, False),
        ({"kind": "error", "code": 4}, True),
        ({"kind": "throttled", "seconds": 7}, True),
        ({"kind": "500"}, True),
        ({"kind": "garbage"}, True),
    ],
)
async def test_m7_errors_are_told_apart(bench: MetaBench, fault: dict[str, Any], retry: bool) -> None:  # noqa: FBT001
    """M7: a permission that is missing stays missing; what is busy is asked again."""
    person = await bench.phone.person()
    await bench.phone.say(person, text="Ciao")
    await bench.phone.post("faults", on="node", **fault)
    found = await bench.client().profile(person)
    assert (found.name, found.retry, bool(found.problem)) == ("", retry, True)
    assert found.retry_after == (7.0 if fault["kind"] == "throttled" else 0.0)
    assert TOKEN not in found.problem


@pytest.mark.parametrize(
    ("answer", "name"),
    [
        ({"first_name": "Cleo"}, "Cleo"),
        ({"last_name": "Bianchi", "first_name": " "}, "Bianchi"),
        ({"name": "Cleo B.", "first_name": None}, "Cleo B."),
        ({"name": "x\u0000" * 500}, "x\ufffd" * 100),
        ({"first_name": 7, "name": ["x"]}, ""),
        ({}, ""),
    ],
)
async def test_names_as_meta_may_give_them(bench: MetaBench, answer: dict[str, Any], name: str) -> None:
    async def tell(_: web.Request) -> web.Response:
        return web.json_response(answer)

    app = web.Application()
    app.router.add_get("/{path:.*}", tell)
    async with serving(app) as graph:
        bench.platform = "messenger"
        found = await bench.client(graph=graph).profile("42")
    assert (found.name, found.retry, bool(found.problem)) == (name, False, not name)
