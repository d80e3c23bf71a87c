"""A mail world of one's own: people who write to one shop, and an SMTP server for its answers. ``python -m connectors.email.simulator``.

What people write is posted as raw mails to the channel's webhook, with the word of a mail server that their sender is proved;
what the shop sends by SMTP appears on their phones. Mail to nobody, or to who has blocked the shop, is refused with 550 5.1.1.
"""

from connectors.email.simulator.app import WORLD, create_simulator_app
from connectors.email.simulator.world import World

__all__ = ["WORLD", "World", "create_simulator_app"]
