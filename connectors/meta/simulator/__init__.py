"""What the simulators of Meta's products share: a Graph API that checks tokens and breaks on demand, signed webhooks, links that expire.

A product adds its own paths; see ``connectors.whatsapp.simulator``.
"""

from connectors.meta.simulator.files import LINK_SECONDS, Lookaside
from connectors.meta.simulator.graph import Graph, GraphRefusal, invalid_parameter
from connectors.meta.simulator.webhook import Hook, escaped

__all__ = ["LINK_SECONDS", "Graph", "GraphRefusal", "Hook", "Lookaside", "escaped", "invalid_parameter"]
