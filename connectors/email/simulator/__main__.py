"""``python -m connectors.email.simulator --port 8085 --smtp-port 2525 --imap-port 1143``: the simulator alone, on loopback."""

import argparse

from aiohttp import web

from connectors.email.simulator.app import create_simulator_app


def main() -> None:
    """Serves until interrupted."""
    parser = argparse.ArgumentParser(prog="python -m connectors.email.simulator", description="A mail world of one's own, for tests.")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen at (default: loopback; the control API has no password)")
    parser.add_argument("--port", type=int, default=8085)
    parser.add_argument("--smtp-port", type=int, default=2525, help="where the shop's answers are taken")
    parser.add_argument("--imap-port", type=int, default=1143, help="where the shop's mailbox is")
    parser.add_argument("--address", default="support@shop.example", help="the shop's address")
    parser.add_argument("--secret", required=True, help="the mailbox's password, refresh token, and the channel's webhook_secret")
    parser.add_argument("--webhook", default="", help="post mails there too, for example http://127.0.0.1:8080/webhooks/mail")
    parser.add_argument("--authserv", default="mx.shop.example", help="one of its authserv_ids")
    options = parser.parse_args()
    app = create_simulator_app(
        address=options.address,
        webhook=options.webhook,
        secret=options.secret,
        authserv=options.authserv,
        smtp_port=options.smtp_port,
        imap_port=options.imap_port,
        host=options.host,
    )
    web.run_app(app, host=options.host, port=options.port, access_log=None)


if __name__ == "__main__":
    main()
