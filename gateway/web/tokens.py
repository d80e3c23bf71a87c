"""API tokens: for bots and programs. Only a hash is kept."""

from datetime import timedelta
from typing import Annotated

from msgspec import Meta

from gateway.credentials import TOKEN_DAYS, Kind, digest_of, end, issue_token, token_text
from gateway.web.errors import Refusal, not_found
from gateway.web.route import Call, Input, Nothing
from gateway.web.shapes import Page, TokenCreated, TokenView
from gateway.web.signing import derive_key
from storage.access import Credential
from storage.ids import derive_id
from storage.protocol import Transaction
from storage.record import Role


class NewToken(Input, frozen=True, kw_only=True):
    #: What it is for.
    label: Annotated[str, Meta(min_length=1, max_length=100)]
    #: Whose rights it has; null: the caller's. Others' only for admins.
    agent_id: Annotated[str, Meta(max_length=128)] | None = None
    days: Annotated[int, Meta(ge=1, le=366)] = TOKEN_DAYS


async def add_token(call: Call[NewToken, Nothing]) -> TokenCreated:
    """Create a token. Its secret is in this answer only."""
    agent_id = call.body.agent_id or call.principal.agent.id
    if agent_id != call.principal.agent.id and call.principal.agent.role is not Role.ADMIN:
        raise Refusal(403, "forbidden", "Only admins may make tokens for others.", field="$.agent_id")
    # Derived, not drawn: a repeated Idempotency-Key gives the same token, though we keep only its hash.
    secret = derive_key(call.services.config.server.secret_key, f"token {call.command_id}").hex()
    credential_id = derive_id("tok", call.now, call.command_id)

    async def work(tx: Transaction) -> Credential:
        if await tx.agents.get(agent_id) is None:
            raise not_found()
        for known in await tx.agents.credentials(agent_id, Kind.TOKEN):
            if known.digest == digest_of(token_text(known.id, secret)):
                return known
        life = timedelta(days=call.body.days)
        fresh, _ = await issue_token(tx, agent_id, call.now, life, call.body.label, drawn=(credential_id, secret))
        return fresh

    credential = await call.transact(work)
    return TokenCreated(token=_view(credential), secret=token_text(credential.id, secret))


async def list_tokens(call: Call[Nothing, Nothing]) -> Page[TokenView]:
    """The caller's tokens; for admins everybody's."""

    async def work(tx: Transaction) -> Page[TokenView]:
        found = [
            _view(credential) for agent_id in await _owners(tx, call) for credential in await tx.agents.credentials(agent_id, Kind.TOKEN)
        ]
        return Page(items=found, as_of_pos=await tx.stream.head())

    return await call.view(work)


async def remove_token(call: Call[Nothing, Nothing]) -> None:
    """End a token now."""

    async def work(tx: Transaction) -> None:
        for agent_id in await _owners(tx, call):
            for credential in await tx.agents.credentials(agent_id, Kind.TOKEN):
                if credential.id == call.path("id"):
                    await end(tx, credential, call.now)
                    return
        raise not_found()

    await call.transact(work)


async def _owners(tx: Transaction, call: Call[Nothing, Nothing]) -> list[str]:
    """Whose tokens the caller may see."""
    if call.principal.agent.role is Role.ADMIN:
        return [agent.id for agent in await tx.agents.all()]
    return [call.principal.agent.id]


def _view(credential: Credential) -> TokenView:
    return TokenView(**{name: getattr(credential, name) for name in TokenView.__struct_fields__})
