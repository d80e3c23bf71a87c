"""``connector``: for those who write one."""

from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from connectors.errors import ConnectorError
from connectors.registry import BUILT_IN, kinds
from gateway.cli.common import FAILED, UserError, say, show_table
from gateway.kit.bench import open_bench
from gateway.kit.checks import run_checks
from gateway.kit.findings import State
from gateway.kit.folder import BadFolder
from gateway.kit.new import write_skeleton
from gateway.kit.report import lines_of, summary


def register(app: App) -> None:
    """Add these commands."""
    connectors = App(name="connector", help="For authors of connectors: test, new, list.")
    connectors.command(put_to_test, name="test")
    connectors.command(new)
    connectors.command(list_connectors, name="list")
    app.command(connectors)


def put_to_test(
    connector: Annotated[str, Parameter(help="An installed kind, or a module that has CONNECTOR.")],
    *,
    cases: Annotated[
        Path | None, Parameter(name="--cases", help="Folder with sample.py and the cases; else ./tests/connectors/CONNECTOR or ./tests.")
    ] = None,
    only: Annotated[
        list[str] | None, Parameter(name="--only", negative="", help="Only this check, for example C07; may be repeated.")
    ] = None,
) -> int:
    """Put a connector to the conformance kit's checks. Exit status 1 if one of them fails."""
    results = []
    try:
        bench = open_bench(connector, (cases or _usual_folder(connector)).resolve())
        for result in run_checks(bench, only or ()):
            results.append(result)
            for line in lines_of(result):
                say(line)
    except (BadFolder, ConnectorError) as error:
        raise UserError(str(error)) from error
    say(summary(connector, results))
    return FAILED if any(result.state is State.FAILED for result in results) else 0


def _usual_folder(connector: str) -> Path:
    """Where its cases lie in a tree of one connector, or of several as here."""
    own = Path("tests", "connectors", connector)
    return own if own.is_dir() else Path("tests")


def new(
    name: Annotated[str, Parameter(help="Its kind: a-z, 0-9 and _.")],
    *,
    into: Annotated[Path, Parameter(name="--into", help="The folder in which its own folder is made.")] = Path(),
) -> None:
    """Write the skeleton of a connector in a package of its own."""
    try:
        folder = write_skeleton(name, into)
    except BadFolder as error:
        raise UserError(str(error)) from error
    say(f"{folder} is written. Next: pip install -e '{folder}[dev]', then in it: sportello connector test {name}")


def list_connectors() -> None:
    """List the connectors that are installed, and where each comes from."""
    show_table(["KIND", "FROM"], [[kind, "Sportello" if kind in BUILT_IN else "a package of its own"] for kind in kinds()])
