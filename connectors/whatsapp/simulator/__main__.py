"""``python -m connectors.whatsapp.simulator --port 8082 …``: the simulator alone, on loopback."""

import argparse

from aiohttp import web

from connectors.whatsapp.simulator.app import Account, create_simulator_app


def main() -> None:
    """Serves until interrupted."""
    parser = argparse.ArgumentParser(prog="python -m connectors.whatsapp.simulator", description="A WhatsApp of one's own, for tests.")
    parser.add_argument(
        "--host", default="127.0.0.1", help="address to listen at (default: loopback; the control interface has no password)"
    )
    parser.add_argument("--port", type=int, default=8082)
    parser.add_argument("--token", required=True, help="access token that calls must carry")
    parser.add_argument("--app-secret", required=True, help="signs the webhooks")
    parser.add_argument("--phone-number-id", default="106540352242922")
    parser.add_argument("--business-account-id", default="102290129340398")
    parser.add_argument("--webhook", default="", help="where webhooks go until the gateway registers its address")
    parser.add_argument("--no-limits", action="store_true", help="accept any number of messages a second")
    options = parser.parse_args()
    account = Account(
        token=options.token,
        app_secret=options.app_secret,
        phone_number_id=options.phone_number_id,
        business_account_id=options.business_account_id,
    )
    app = create_simulator_app(account, webhook_url=options.webhook, limits=not options.no_limits)
    web.run_app(app, host=options.host, port=options.port, access_log=None)


if __name__ == "__main__":
    main()
