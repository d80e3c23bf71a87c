"""``python -m connectors.messenger.simulator --port 8083 …``: the simulator alone, on loopback."""

import argparse

from aiohttp import web

from connectors.messenger.simulator.account import Account
from connectors.messenger.simulator.app import create_simulator_app


def main() -> None:
    """Serves until interrupted."""
    parser = argparse.ArgumentParser(
        prog="python -m connectors.messenger.simulator", description="A Messenger or Instagram of one's own, for tests."
    )
    parser.add_argument(
        "--host", default="127.0.0.1", help="address to listen at (default: loopback; the control interface has no password)"
    )
    parser.add_argument("--port", type=int, default=8083)
    parser.add_argument("--platform", choices=("messenger", "instagram"), default="messenger")
    parser.add_argument("--id", default="104000000000001", help="the page's or the account's id")
    parser.add_argument("--token", required=True, help="access token that calls must carry")
    parser.add_argument("--app-secret", required=True, help="signs the webhooks")
    parser.add_argument("--webhook", default="", help="where webhooks go until the gateway registers its address")
    parser.add_argument("--no-limits", action="store_true", help="accept any number of messages a second")
    options = parser.parse_args()
    account = Account(
        platform=options.platform,
        id=options.id,
        access_token=options.token,
        app_secret=options.app_secret,
        webhook_url=options.webhook,
        rate_limits=not options.no_limits,
    )
    web.run_app(create_simulator_app(account), host=options.host, port=options.port, access_log=None)


if __name__ == "__main__":
    main()
