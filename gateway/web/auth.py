"""Logging in and out: sessions by password or one-time link, feed tickets, and who am I."""

from typing import Annotated

from msgspec import Meta

from gateway.credentials import TICKET_LIFE, Kind, end, find, issue, new_secret, open_session, spend
from gateway.web.access import client_address, cookie_of, session_cookie
from gateway.web.errors import Refusal
from gateway.web.route import Answer, Call, Input, Nothing
from gateway.web.shapes import AgentAnswer, MeAnswer, TicketAnswer, agent_view
from routing.command import SetPresence
from storage.protocol import Transaction
from storage.record import Agent, Presence, Role

_LABEL = "User-Agent"


class LogIn(Input, frozen=True, kw_only=True):
    email: Annotated[str, Meta(min_length=3, max_length=254)]
    password: Annotated[str, Meta(min_length=1, max_length=1024)]


class LinkLogIn(Input, frozen=True, kw_only=True):
    #: The secret from the link that the gateway printed.
    token: Annotated[str, Meta(min_length=1, max_length=200)]


class MeChange(Input, frozen=True, kw_only=True):
    presence: Presence


async def log_in(call: Call[LogIn, Nothing]) -> Answer:
    """Begin a session by password. An unknown address costs the same time and gives the same answer as a wrong password."""
    email = call.body.email.strip().lower()
    address = client_address(call.request, call.services.config.server.trusted_proxies)
    # Per pair, so that strangers cannot lock anybody out; and per address and per account, much later.
    pair, wide = (f"{email} {address}",), (f"address {address}", f"account {email}")
    wait = max(call.state.login_throttle.wait(pair), call.state.flood_throttle.wait(wide))
    if wait > 0:
        seconds = str(int(wait) + 1)
        raise Refusal(429, "too_many_attempts", f"Too many attempts. Try again in {seconds} seconds.", headers={"Retry-After": seconds})
    # Counted before the check, so that many guesses at the same time do not pass together.
    call.state.login_throttle.count(pair)
    agent, kept = await call.view(lambda tx: _with_hash(tx, email))
    right = await call.state.passwords.verify(kept, call.body.password)
    if not right or agent is None or agent.disabled or agent.role is Role.BOT:
        call.state.flood_throttle.count(wide)
        raise Refusal(401, "bad_credentials", "E-mail address or password is wrong.")
    call.state.login_throttle.clear(pair[0])
    return await _begin(call, agent)


async def log_in_by_link(call: Call[LinkLogIn, Nothing]) -> Answer:
    """Begin a session with a one-time link."""
    address = client_address(call.request, call.services.config.server.trusted_proxies)
    key = f"link {address}"
    if call.state.flood_throttle.wait((key,)) > 0:
        raise Refusal(429, "too_many_attempts", "Too many attempts. Try again later.", headers={"Retry-After": "60"})

    async def use(tx: Transaction) -> Agent | None:
        credential = await spend(tx, call.body.token, Kind.LINK, call.now)
        return await tx.agents.get(credential.agent_id) if credential else None

    agent = await call.transact(use)
    if agent is None or agent.disabled or agent.role is Role.BOT:
        call.state.flood_throttle.count((key,))
        raise Refusal(401, "bad_credentials", "This link has been used or is too old. Ask for a new one.")
    return await _begin(call, agent)


async def log_out(call: Call[Nothing, Nothing]) -> Answer:
    """End the session, and every feed that it opened."""
    secret = cookie_of(call.request, call.state)

    async def work(tx: Transaction) -> None:
        credential = await find(tx, secret, frozenset({Kind.SESSION}), call.now)
        if credential is not None:
            await end(tx, credential, call.now)

    await call.transact(work)
    return Answer(None, {"Set-Cookie": session_cookie(call.state, ""), "Clear-Site-Data": '"cache"'})


async def me(call: Call[Nothing, Nothing]) -> MeAnswer:
    """The caller."""
    agent = call.principal.agent
    load = await call.view(lambda tx: tx.agents.open_count(agent.id))
    return MeAnswer(agent=agent_view(agent, load), queues=sorted(call.principal.scope.queues))


async def change_me(call: Call[MeChange, Nothing]) -> AgentAnswer:
    """Come and go."""
    principal = call.principal
    command = SetPresence(id=call.command_id, actor=principal.actor, agent_id=principal.agent.id, presence=call.body.presence)
    agent: Agent = await call.command(command)
    load = await call.view(lambda tx: tx.agents.open_count(agent.id))
    return AgentAnswer(agent=agent_view(agent, load))


async def new_ticket(call: Call[Nothing, Nothing]) -> TicketAnswer:
    """A secret that opens one feed within 30 seconds."""
    secret, agent = new_secret(), call.principal.agent
    credential = await call.transact(
        lambda tx: issue(tx, agent.id, Kind.TICKET, secret, call.now, TICKET_LIFE, label=call.principal.credential_id)
    )
    return TicketAnswer(ticket=secret, expires_at=credential.expires_at)


async def _with_hash(tx: Transaction, email: str) -> tuple[Agent | None, str]:
    agent = await tx.agents.by_email(email)
    return agent, await tx.agents.password_hash(agent.id) if agent else ""


async def _begin(call: Call[LogIn, Nothing] | Call[LinkLogIn, Nothing], agent: Agent) -> Answer:
    label = call.request.headers.get(_LABEL, "").encode("ascii", "replace").decode()
    former = cookie_of(call.request, call.state)

    async def work(tx: Transaction) -> str:
        # A session that the browser brought along is not continued: whoever planted it would share the new one.
        if former and (credential := await find(tx, former, frozenset({Kind.SESSION}), call.now)):
            await end(tx, credential, call.now)
        return await open_session(tx, agent, call.now, label)

    secret = await call.transact(work)
    return Answer(AgentAnswer(agent=agent_view(agent)), {"Set-Cookie": session_cookie(call.state, secret)})
