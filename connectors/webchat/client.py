"""The loop-back: "sending" to a visitor means that the message is in the stream, and there it is already."""

from collections.abc import Sequence

from connectors.abilities import Component, Finding
from connectors.contract import Call, ClientContext, Reply
from connectors.webchat.settings import Settings


class LoopBack:
    """Answers each call with the message's own id."""

    def __init__(self, settings: Settings, context: ClientContext) -> None:
        self._channel = context.channel
        self._settings = settings

    async def send(self, call: Call) -> Reply:
        """Nothing can fail here."""
        return Reply(status=200, body=str(call.json["id"]).encode())

    async def probe(self, webhook_url: str) -> Sequence[Finding]:
        """Can anybody write? There is no provider to ask."""
        del webhook_url
        origins = self._settings.origins
        key = "the channel's own secret" if self._settings.secret else "a key derived from the server's"
        return [
            Finding(
                component=Component.INBOUND,
                ok=bool(origins),
                detail=f"pages of {', '.join(origins)} may show the chat" if origins else "no page of a shop may show the chat",
                remedy="" if origins else "Set origins to the shop's address, for example https://shop.example.org.",
            ),
            Finding(component=Component.AUTH, ok=True, detail=f"visitors' tokens are signed with {key}"),
        ]

    async def close(self) -> None:
        """Nothing to close."""
