"""Templates as the providers have listed them lately: so that an agent who picks one does not wait, nor a provider be asked by each."""

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

import structlog
from msgspec import Struct

from connectors.abilities import TemplateDefinition, TemplateSource
from gateway.services import Channel
from gateway.web.errors import Refusal

#: A node asks the provider again after so long.
FRESH: Final = timedelta(minutes=5)
ASK_SECONDS: Final = 15.0


class Known(Struct, frozen=True):
    """What a provider has said."""

    at: datetime
    items: tuple[TemplateDefinition, ...]


class Templates:
    """What this node knows, by channel."""

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self._clock = clock
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
            try:
                async with asyncio.timeout(ASK_SECONDS):
                    items = tuple(await channel.client.templates())
            except OSError as error:  # TimeoutError is one
                structlog.get_logger("web").warning("templates cannot be listed", channel=channel.id, error=type(error).__name__)
                if known is not None and not refresh:
                    return known
                away = "The provider cannot be asked for its templates now. Try again in a minute."
                raise Refusal(503, "provider_away", away, headers={"Retry-After": "60"}) from None
            self._known[channel.id] = fresh = Known(self._clock(), items)
            return fresh
