"""A WhatsApp of one's own: the Cloud API, phones, and webhooks, on loopback. See the README beside this file."""

from connectors.whatsapp.simulator.app import Account, create_simulator_app

__all__ = ["Account", "create_simulator_app"]
