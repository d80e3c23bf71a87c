"""``agent`` and ``token``: who may come in. Works while the gateway runs, and while it does not."""

import getpass
from typing import Annotated, Literal

from cyclopts import App, Parameter

from gateway.cli.common import STANDARD, Common, perform, read_password, say, show_table

Email = Annotated[str, Parameter(help="The agent's e-mail address: the name to log in with.")]
FromStdin = Annotated[bool, Parameter(name="--password-stdin", negative="", help="Read the password's line from standard input.")]


def register(app: App) -> None:
    """Add these commands."""
    agents = App(name="agent", help="The people and bots who answer: add, list, password, link.")
    agents.command(add_agent, name="add")
    agents.command(list_agents, name="list")
    agents.command(set_password, name="password")
    agents.command(link)
    tokens = App(name="token", help="API tokens for programs: add, list, remove.")
    tokens.command(add_token, name="add")
    tokens.command(list_tokens, name="list")
    tokens.command(remove_token, name="remove")
    app.command(agents)
    app.command(tokens)


async def add_agent(
    email: Email,
    *,
    name: Annotated[str, Parameter(help="What shoppers and colleagues read.")],
    role: Annotated[Literal["admin", "supervisor", "agent", "bot"], Parameter(help="What they may do.")] = "agent",
    capacity: Annotated[int, Parameter(help="Most open conversations that the router gives them.")] = 5,
    queue: Annotated[tuple[str, ...], Parameter(name="--queue", negative="", help="Queue to work in; may be repeated.")] = (),
    password_stdin: FromStdin = False,
    common: Common = STANDARD,
) -> None:
    """Add an agent and print a log-in link that works once, within an hour.

    No password is needed to begin with: whoever opens the link is logged in.
    """
    password = read_password(from_stdin=True, prompt=getpass.getpass) if password_stdin else ""
    arguments = {"name": name, "email": email, "role": role, "capacity": capacity, "queues": list(queue), "password": password}
    done = await perform(common.load(), "agent.add", **arguments)
    say(f"Added {done['agent']['name']} <{done['agent']['email']}>, {done['agent']['role']}.")
    if done["link"]:
        say(f"Log-in link, once, within an hour:\n{done['link']}")


async def list_agents(*, common: Common = STANDARD) -> None:
    """List all agents."""
    agents = await perform(common.load(), "agent.list")
    rows = [
        [one["email"], one["name"], one["role"], "disabled" if one.get("disabled") else one.get("presence", "offline")] for one in agents
    ]
    show_table(["E-MAIL", "NAME", "ROLE", "PRESENCE"], rows)


async def set_password(email: Email, *, password_stdin: FromStdin = False, common: Common = STANDARD) -> None:
    """Set an agent's password and end all their sessions. It is asked for, or read from standard input."""
    config = common.load()
    password = read_password(from_stdin=password_stdin, prompt=getpass.getpass)
    await perform(config, "agent.password", email=email, password=password)
    say(f"Password of {email} set; all sessions ended.")


async def link(email: Email, *, common: Common = STANDARD) -> None:
    """Print a log-in link for an agent; it works once, within an hour."""
    done = await perform(common.load(), "agent.link", email=email)
    say(done["link"])


async def add_token(
    email: Email,
    *,
    label: Annotated[str, Parameter(help="What the token is for.")],
    days: Annotated[int, Parameter(help="Days until it ends.")] = 90,
    common: Common = STANDARD,
) -> None:
    """Make an API token that may do what the agent may. It is shown this once."""
    done = await perform(common.load(), "token.add", email=email, label=label, days=days)
    say(f"Token {done['id']}, until {done['expires_at'][:10]}; it is not shown again:\n{done['token']}")


async def list_tokens(*, common: Common = STANDARD) -> None:
    """List all API tokens, without their secrets."""
    tokens = await perform(common.load(), "token.list")
    rows = [[one["id"], one["agent"], one["label"], one["expires_at"][:10], one["used_at"][:16]] for one in tokens]
    show_table(["ID", "AGENT", "LABEL", "ENDS", "LAST USED"], rows)


async def remove_token(
    token_id: Annotated[str, Parameter(help="As shown by: sportello token list.")], *, common: Common = STANDARD
) -> None:
    """End an API token at once."""
    await perform(common.load(), "token.remove", token_id=token_id)
    say(f"Token {token_id} removed.")
