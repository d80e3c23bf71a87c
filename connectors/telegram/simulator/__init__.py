"""A Telegram of one's own: the Bot API as far as the gateway uses it, and a control API to play the shopper.

Real HTTP, the provider's own limits and error texts, faults on demand, and a ledger of everything that it accepted.
``README.md`` here has the control API.
"""

from connectors.telegram.simulator.app import create_simulator_app

__all__ = ["create_simulator_app"]
