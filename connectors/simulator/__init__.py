"""What all simulated providers share: people with phones, a control interface to play them, faults on demand, webhooks that come again.

A provider's simulator adds its own REST interface and turns what people do into its own webhooks: see :class:`control.Provider`.
"""

from connectors.simulator.control import Control, Provider
from connectors.simulator.faults import Fault, Faults
from connectors.simulator.phone import Line, Person, Phone
from connectors.simulator.webhooks import Delivery, Webhooks

__all__ = ["Control", "Delivery", "Fault", "Faults", "Line", "Person", "Phone", "Provider", "Webhooks"]
