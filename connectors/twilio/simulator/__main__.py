"""``python -m connectors.twilio.simulator --port 8082``: the simulator alone, on loopback."""

import argparse

from aiohttp import web

from connectors.twilio.simulator.app import PLACE, create_simulator_app
from connectors.twilio.simulator.place import WHATSAPP

_SID = "AC" + "5" * 32


def main() -> None:
    """Serves until interrupted."""
    parser = argparse.ArgumentParser(prog="python -m connectors.twilio.simulator", description="A Twilio of one's own, for tests.")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen at (default: loopback; the control API has no password)")
    parser.add_argument("--port", type=int, default=8082)
    parser.add_argument("--account-sid", default=_SID)
    parser.add_argument("--auth-token", required=True, help="signs webhooks and opens the REST interface")
    parser.add_argument("--number", default="+15005550006", help="the shop's number, by SMS and by WhatsApp")
    parser.add_argument("--whatsapp", action="store_true", help="people without an id write by WhatsApp")
    parser.add_argument("--webhook", default="", help="where to post, until a gateway sets it")
    parser.add_argument("--per-second", type=float, default=0, help="most calls a second; 0: any")
    options = parser.parse_args()
    app = create_simulator_app(
        account_sid=options.account_sid,
        auth_token=options.auth_token,
        number=options.number,
        by_whatsapp=options.whatsapp,
        base=f"http://{options.host}:{options.port}",
        per_second=options.per_second,
    )
    address = (WHATSAPP if options.whatsapp else "") + options.number
    app[PLACE].hooks[address].url = options.webhook
    web.run_app(app, host=options.host, port=options.port, access_log=None)


if __name__ == "__main__":
    main()
