"""Who gets a waiting conversation."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from connectors.identity import Identity
from routing.assign import assign, free_places, ineligible
from storage.record import Agent, AgentLoad, Conversation, Presence, Role, State

NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)


def load(name: str, open_count: int = 0, **changes: object) -> AgentLoad:
    agent = Agent(id=name, name=name, email=f"{name}@shop.example", role=Role.AGENT, created_at=NOW, presence=Presence.ONLINE, capacity=3)
    return AgentLoad(agent=structs.replace(agent, **changes), open_count=open_count)


def waiting(number: int, queue: str = "general", minutes: float = 1) -> Conversation:
    return Conversation(
        id=f"c{number}",
        number=number,
        channel="web",
        identity=Identity("visitor", "web", str(number)),
        customer_id=f"p{number}",
        thread="",
        state=State.QUEUED,
        queue_id=queue,
        created_at=NOW,
        updated_at=NOW,
        waiting_since=NOW - timedelta(minutes=minutes),
    )


def given_to(conversations: list[Conversation], members: dict[str, list[AgentLoad]], fresh: frozenset[str] = frozenset()) -> dict[str, str]:
    return {one.conversation.id: one.load.agent.id if one.load else "" for one in assign(conversations, members, fresh, NOW)}


def test_the_longest_waiting_goes_first() -> None:
    short, long = waiting(1, minutes=1), waiting(2, minutes=9)
    assert given_to([short, long], {"general": [load("ada", 2)]}) == {"c2": "ada"}


def test_the_agent_with_the_fewest_open_gets_it() -> None:
    assert given_to([waiting(1)], {"general": [load("ada", 2), load("ben", 1)]}) == {"c1": "ben"}


def test_equals_take_turns() -> None:
    ada = load("ada", last_assigned_at=NOW - timedelta(minutes=1))
    ben = load("ben", last_assigned_at=NOW - timedelta(minutes=5))
    assert given_to([waiting(1)], {"general": [ada, ben]}) == {"c1": "ben"}
    assert given_to([waiting(1, minutes=3), waiting(2, minutes=2)], {"general": [ada, ben]}) == {"c1": "ben", "c2": "ada"}


def test_only_members_of_its_own_queue_are_looked_at() -> None:
    members = {"general": [load("ada")], "returns": [load("ben", 3)]}
    assert given_to([waiting(1, "returns", 9), waiting(2)], members) == {"c2": "ada"}


def test_why_somebody_is_not_eligible() -> None:
    assert ineligible(load("ada")) == ""
    assert ineligible(load("ada", presence=Presence.AWAY)) == "away"
    assert ineligible(load("ada", presence=Presence.OFFLINE)) == "offline"
    assert ineligible(load("ada", 3)) == "at capacity"
    assert ineligible(load("ada", disabled=True)) == "disabled"
    assert ineligible(load("ada", role=Role.BOT)) == "bot"


def test_the_record_names_all_candidates_and_reasons() -> None:
    (one,) = assign([waiting(1)], {"general": [load("ada", 3), load("ben", presence=Presence.AWAY)]}, frozenset({"c1"}), NOW)
    assert one.load is None
    assert one.decision.outcome == "waiting"
    assert [(candidate.agent_id, candidate.reason) for candidate in one.decision.candidates] == [("ada", "at capacity"), ("ben", "away")]


def test_who_waits_already_gets_no_new_record() -> None:
    assert assign([waiting(1)], {"general": []}, frozenset(), NOW) == []


agents = st.lists(
    st.tuples(st.integers(0, 4), st.integers(0, 4), st.sampled_from(list(Presence))).map(
        lambda drawn: (drawn[0], drawn[1], drawn[2]),
    ),
    max_size=6,
)


@given(agents, st.integers(0, 12))
def test_nobody_gets_more_than_their_capacity_and_nobody_free_is_left_without(
    staff: list[tuple[int, int, Presence]], number_waiting: int
) -> None:
    members = {
        "general": [
            load(f"a{index}", open_count, capacity=capacity, presence=presence)
            for index, (open_count, capacity, presence) in enumerate(staff)
        ]
    }
    conversations = [waiting(number, minutes=number) for number in range(1, number_waiting + 1)]
    given_out = given_to(conversations, members)
    places = free_places(members)
    assert len(given_out) == min(places, number_waiting)
    for one in members["general"]:
        assert one.open_count + list(given_out.values()).count(one.agent.id) <= max(one.agent.capacity, one.open_count)
    assert set(given_out) == {f"c{number}" for number in range(number_waiting - len(given_out) + 1, number_waiting + 1)}
