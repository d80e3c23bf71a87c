"""``python -m connectors.telegram.simulator --port 8081 --token 123456:demo``: the simulator alone, on loopback."""

import argparse
from pathlib import Path

from aiohttp import web

from connectors.telegram.simulator.app import create_simulator_app


def main() -> None:
    """Serves until interrupted."""
    parser = argparse.ArgumentParser(prog="python -m connectors.telegram.simulator", description="A Telegram of one's own, for tests.")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen at (default: loopback; the control API has no password)")
    parser.add_argument("--port", type=int, default=8081)
    parser.add_argument("--token", required=True, help="the bot's token, <digits>:<secret>")
    parser.add_argument("--no-rate-limits", action="store_true", help="accept any number of messages a second")
    parser.add_argument("--ledger", type=Path, help="append each accepted sending to this file, durably")
    options = parser.parse_args()
    app = create_simulator_app(token=options.token, rate_limits=not options.no_rate_limits, ledger_path=options.ledger)
    web.run_app(app, host=options.host, port=options.port, access_log=None)


if __name__ == "__main__":
    main()
