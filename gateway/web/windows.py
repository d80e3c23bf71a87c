"""Until when a shopper may be answered, and with what: for agents to see."""

from gateway.services import Services
from gateway.web.shapes import ConversationView, WindowView, conversation_view
from routing.window import window_of
from storage.record import Conversation


def window_view(services: Services, conversation: Conversation) -> WindowView | None:
    """The window that is open now; null on channels without."""
    channel = services.channels.get(conversation.channel)
    if channel is None:
        return None
    found = window_of(conversation, channel.capabilities.windows, services.clock())
    return None if found is None else WindowView(name=found.name, closes_at=found.closes_at, sends=sorted(found.sends))


def shown(services: Services, conversation: Conversation, customer_name: str) -> ConversationView:
    """A conversation as agents see it."""
    return conversation_view(conversation, customer_name, window_view(services, conversation))
