"""``check``, ``doctor``, ``settings``: looking, without changing anything."""

import os
import sys
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, Parameter

from gateway.channels import plan_channels
from gateway.cli.common import FAILED, STANDARD, Common, say
from gateway.cli.reference import generated_texts, reference
from gateway.doctor import Level, examine


def register(app: App) -> None:
    """Add these commands."""
    app.command(check)
    app.command(doctor)
    app.command(settings)


def check(*, common: Common = STANDARD) -> None:
    """Check the configuration: OK, or every error with file, line and key (exit status 1).

    Looks at the file, the environment and every channel's settings; connects to nothing.
    """
    config = common.load()
    planned = plan_channels(config)
    say(f"OK: {len(planned)} channel{'' if len(planned) == 1 else 's'}.")
    for plan in planned:
        off = "" if plan.section.enabled else ", disabled"
        say(f"  {plan.id} ({plan.connector.kind}{off}): {config.public_url}/webhooks/{plan.id}")


async def doctor(*, common: Common = STANDARD) -> int:
    """Say what is wrong with this installation and what to do about it (exit status 1 if something is).

    Changes nothing, and can be used while the gateway runs.
    """
    findings = await examine(common.load, os.environ)
    for finding in findings:
        say(f"{finding.level.value:<4}  {finding.subject}: {finding.text}")
        if finding.remedy:
            say(f"      {finding.remedy}")
    return FAILED if any(finding.level is Level.FAIL for finding in findings) else 0


def settings(
    *,
    output: Annotated[
        Literal["markdown", "env"], Parameter(name=["--format", "-f"], help="Tables, or a commented environment file.")
    ] = "markdown",
    write: Annotated[Path | None, Parameter(help="Instead, rewrite the generated texts in this checkout.")] = None,
) -> None:
    """Print every setting with its default: the same text as in config/README.md and deploy/env.example."""
    if write is None:
        sys.stdout.write(reference(output))
        return
    for path, text in generated_texts(write).items():
        path.write_text(text, "utf-8")
        say(f"{path} written.")
