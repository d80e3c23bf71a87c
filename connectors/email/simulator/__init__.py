"""A mail world of one's own: people who write to one shop, its mailbox, and a server for its answers.

``python -m connectors.email.simulator`` starts it alone. What people write lands in the shop's INBOX, on a real IMAP server,
with the word of a mail server that their sender is proved; on demand it is also posted as raw mail to the channel's webhook.
What the shop sends by SMTP appears on their phones, and in its folder Sent. Mail to nobody, or to who has blocked the shop,
is refused with 550 5.1.1.
"""

from connectors.email.simulator.app import WORLD, create_simulator_app
from connectors.email.simulator.world import World

__all__ = ["WORLD", "World", "create_simulator_app"]
