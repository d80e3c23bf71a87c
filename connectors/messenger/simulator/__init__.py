"""Messenger, or Instagram, on this machine: the Graph API of one page or account, its webhooks, and people with phones."""

from connectors.messenger.simulator.account import Account
from connectors.messenger.simulator.app import SIMULATOR, Simulator, create_simulator_app

__all__ = ["SIMULATOR", "Account", "Simulator", "create_simulator_app"]
