"""The loop-back: "sending" to a visitor means that the message is in the stream, and there it is already."""

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

    async def close(self) -> None:
        """Nothing to close."""
