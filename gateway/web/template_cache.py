"""Templates as the providers have listed them lately: so that an agent who picks one does not wait, nor a provider be asked by each."""

import asyncio
import time
from datetime import datetime, timedelta
from typing import Final

import structlog
from msgspec import Struct

from connectors.abilities import TemplateDefinition, TemplateSource
from gateway.services import Channel, Services
from gateway.web.errors import Refusal
from storage.interaction import InteractionKind

#: A node asks the provider again after so long.
FRESH: Final = timedelta(minutes=5)
ASK_SECONDS: Final = 15.0


class Known(Struct, frozen=True):
    """What a provider has said."""

    at: datetime
    items: tuple[TemplateDefinition, ...]


class Templates:
    """What this node knows, by channel."""

    def __init__(self, services: Services) -> None:
        self._clock = services.clock
        self._journal = services.journal
        self._known: dict[str, Known] = {}
        self._locks: dict[str, asyncio.Lock] = {}

    async def of(self, channel: Channel, *, refresh: bool = False) -> Known | None:
        """The channel's, not older than ``FRESH`` if the provider can be asked; None if its kind has none. Raises Refusal 503."""
        if not isinstance(channel.client, TemplateSource):
            return None
        async with self._locks.setdefault(channel.id, asyncio.Lock()):
            known = self._known.get(channel.id)
            if known is not None and not refresh and self._clock() - known.at < FRESH:
                return known
            began = time.perf_counter()
            try:
                async with asyncio.timeout(ASK_SECONDS):
                    items = tuple(await channel.client.templates())
            except OSError as error:  # TimeoutError is one
                self._note(channel.id, began, "unreachable", type(error).__name__)
                structlog.get_logger("web").warning("templates cannot be listed", channel=channel.id, error=type(error).__name__)
                if known is not None and not refresh:
                    return known
                away = "The provider cannot be asked for its templates now. Try again in a minute."
                raise Refusal(503, "provider_away", away, headers={"Retry-After": "60"}) from None
            self._note(channel.id, began, "ok", f"{len(items)} templates")
            self._known[channel.id] = fresh = Known(self._clock(), items)
            return fresh

    def _note(self, channel: str, began: float, result: str, detail: str) -> None:
        kind, seconds = InteractionKind.TEMPLATES, time.perf_counter() - began
        self._journal.asked(channel, kind, result, seconds, ok=result == "ok", detail=detail)
