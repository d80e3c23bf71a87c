"""The people and bots who answer."""

from datetime import datetime
from typing import Annotated

from msgspec import Meta

from gateway.credentials import Kind, end
from gateway.passwords import BadPassword
from gateway.web.errors import Refusal
from gateway.web.route import Call, Input, Nothing
from gateway.web.shapes import AgentAnswer, AgentView, Page, agent_view
from routing.command import PutAgent, SetPresence
from storage.protocol import Transaction
from storage.record import Agent, Presence, Role

Name = Annotated[str, Meta(min_length=1, max_length=100)]
Email = Annotated[str, Meta(min_length=3, max_length=254, pattern=r"^[^@\s]+@[^@\s]+$")]
Capacity = Annotated[int, Meta(ge=0, le=1000)]


class NewAgent(Input, frozen=True, kw_only=True):
    name: Name
    email: Email
    role: Role = Role.AGENT
    #: Most open conversations that the router gives.
    capacity: Capacity | None = None
    #: At least 12 characters; without one the agent logs in by link.
    password: Annotated[str, Meta(min_length=12, max_length=1024)] | None = None


class AgentChange(Input, frozen=True, kw_only=True):
    """Fields that are left out stay as they are. Supervisors may change capacity and presence."""

    name: Name | None = None
    email: Email | None = None
    role: Role | None = None
    capacity: Capacity | None = None
    disabled: bool | None = None
    presence: Presence | None = None
    password: Annotated[str, Meta(min_length=12, max_length=1024)] | None = None


async def list_agents(call: Call[Nothing, Nothing]) -> Page[AgentView]:
    """All colleagues."""
    present = await call.services.attendance.present()

    async def work(tx: Transaction) -> Page[AgentView]:
        agents = await tx.agents.all()
        views = [_listed(agent, await tx.agents.open_count(agent.id), present) for agent in agents]
        return Page(items=views, as_of_pos=await tx.stream.head())

    return await call.view(work)


async def add_agent(call: Call[NewAgent, Nothing]) -> AgentAnswer:
    """Create an agent."""
    body = call.body
    kept = await _hash(call, body.password)
    command = PutAgent(
        id=call.command_id, actor=call.principal.actor, name=body.name, email=body.email.lower(), role=body.role, capacity=body.capacity
    )
    agent: Agent = await call.command(command)
    if kept:
        await call.transact(lambda tx: tx.agents.set_password_hash(agent.id, kept))
    return AgentAnswer(agent=agent_view(agent))


async def change_agent(call: Call[AgentChange, Nothing]) -> AgentAnswer:
    """Change an agent; a new password or disabling them ends their sessions."""
    body, actor, agent_id = call.body, call.principal.actor, call.path("id")
    admin_only = (body.name, body.email, body.role, body.disabled, body.password)
    if actor.role is not Role.ADMIN and any(value is not None for value in admin_only):
        raise Refusal(403, "forbidden", "Supervisors may change capacity and presence; the rest needs the role admin.")
    kept = await _hash(call, body.password)
    if body.presence is not None:
        await call.command(SetPresence(id=call.command_id + ".p", actor=actor, agent_id=agent_id, presence=body.presence))
    agent: Agent = await call.command(
        PutAgent(
            id=call.command_id,
            actor=actor,
            agent_id=agent_id,
            name=body.name,
            email=body.email.lower() if body.email is not None else None,
            role=body.role,
            capacity=body.capacity,
            disabled=body.disabled,
        )
    )
    if kept or body.disabled:
        await call.transact(lambda tx: _end_sessions(tx, agent.id, kept, call.now))
    load = await call.view(lambda tx: tx.agents.open_count(agent.id))
    return AgentAnswer(agent=agent_view(agent, load))


def _listed(agent: Agent, open_count: int, present: frozenset[str] | None) -> AgentView:
    return agent_view(agent, open_count, connected=None if present is None else agent.id in present)


async def _end_sessions(tx: Transaction, agent_id: str, kept: str, now: datetime) -> None:
    if kept:
        await tx.agents.set_password_hash(agent_id, kept)
    for credential in await tx.agents.credentials(agent_id, Kind.SESSION):
        await end(tx, credential, now)


async def _hash(call: Call[NewAgent, Nothing] | Call[AgentChange, Nothing], password: str | None) -> str:
    if password is None:
        return ""
    try:
        return await call.state.passwords.hash(password)
    except BadPassword as error:
        raise Refusal(422, "bad_password", str(error), field="$.password") from None
