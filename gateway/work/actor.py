"""The gateway's own workers as an actor: they may do everything, and no agent's name stands on it."""

from datetime import datetime
from typing import Final

from routing.command import Actor
from storage.access import Scope
from storage.ids import random_id
from storage.record import Role

GATEWAY: Final = Actor(agent_id="", name="Sportello", role=Role.ADMIN, scope=Scope(everything=True))


def command_id(now: datetime) -> str:
    """A fresh id for a command of the gateway's own."""
    return random_id("cmd", now)
