"""``node``: the processes that share the work."""

from cyclopts import App

from gateway.cli.common import STANDARD, Common, perform, say, show_table


def register(app: App) -> None:
    """Add these commands."""
    nodes = App(name="node", help="The processes that share one database: list.")
    nodes.command(list_nodes, name="list")
    app.command(nodes)


async def list_nodes(*, common: Common = STANDARD) -> None:
    """List all processes that run, with their roles; and what the one on this machine has to do."""
    nodes = await perform(common.load(), "node.list")
    if not nodes:
        say("No process runs.")
        return
    rows = [[one["id"], ", ".join(one["roles"]), one["since"][:19].replace("T", " "), one["version"], _duties(one)] for one in nodes]
    show_table(["NODE", "ROLES", "SINCE (UTC)", "VERSION", "DUTIES"], rows)


def _duties(node: dict[str, dict[str, int] | None]) -> str:
    duties = node.get("duties")
    if duties is None:
        return "-"
    return ", ".join(kind if number == 1 else f"{kind} x{number}" for kind, number in duties.items()) or "none"
