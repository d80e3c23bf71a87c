"""A Twilio of one's own: REST interface, signed webhooks, phones by SMS and by WhatsApp. ``python -m connectors.twilio.simulator``.

It has Twilio's limits, error codes and manners: a webhook is posted once, and once to the fallback address; a status may overtake
the answer to the sending; what is wrong with a WhatsApp message shows in its status only; STOP blocks the sender.
"""

from connectors.twilio.simulator.app import PLACE, create_simulator_app
from connectors.twilio.simulator.place import Place, Template

__all__ = ["PLACE", "Place", "Template", "create_simulator_app"]
