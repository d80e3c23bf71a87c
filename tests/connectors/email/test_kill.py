"""A gateway process that dies around the commit of a mail: the mailbox still has it, and it becomes one message."""

import json
from pathlib import Path

import pytest

from connectors.email.imap import KEYWORD
from storage import open_store
from storage.protocol import WHOLE
from tests.support.dovecot import PASSWORD, running_dovecot
from tests.support.mail import ADDRESS, AUTHSERV, SECRET, mail
from tests.support.process import GatewayProcess, free_port
from tests.support.waiting import until

pytestmark = pytest.mark.crash

USER = "shop"


def _config(folder: Path, port: int, imap: int) -> Path:
    path = folder / "sportello.toml"
    path.write_text(
        f"""
data_dir = "{folder}/data"

[server]
port = {port}

[channels.mail]
kind = "email"
address = "{ADDRESS}"
secret = "{SECRET}"
authserv_ids = ["{AUTHSERV}"]

[[channels.mail.mailboxes]]
host = "127.0.0.1"
port = {imap}
security = "none"
username = "{USER}"
password = "{PASSWORD}"
since = "2020-01-01"
""",
        "utf-8",
    )
    return path


@pytest.mark.parametrize("point", ["intake.read", "intake.appended"])
async def test_a_kill_before_and_after_the_commit(tmp_path: Path, point: str) -> None:
    async with running_dovecot() as dovecot:
        port = free_port()
        gateway = GatewayProcess(_config(tmp_path, port, dovecot.port), port, {"SPORTELLO_CRASH_AT": f"{point}:3"})
        await dovecot.append(USER, *(mail(f"mail {number}", id_=f"{number}@example.org") for number in range(6)))
        try:
            await gateway.start()
        except AssertionError:
            # It may have died before anybody saw it ready.
            assert gateway.process is not None
        await gateway.dead()
        before = sum(KEYWORD in flags for flags in (await dovecot.flags(USER)).values())
        assert before == 2
        gateway.environment = {}
        await gateway.start()

        async def all_marked() -> bool:
            return sum(KEYWORD in flags for flags in (await dovecot.flags(USER)).values()) == 6

        await until(all_marked)
        assert await gateway.stop() == 0, gateway.said()
    store = await open_store(f"sqlite://{tmp_path}/data/sportello.db")
    try:
        recorded = await store.read(WHOLE, 0, 1000)
    finally:
        await store.close()
    found = [json.loads(one.entry.data)["message_id"] for one in recorded if one.entry.type == "message.received"]
    assert sorted(found) == [f"{number}@example.org" for number in range(6)]
