"""Five thousand mails of one sender, over the webhook: nothing is lost, and the agents' queue does not notice."""

import asyncio
from collections import defaultdict
from pathlib import Path

from config import ChannelConfig
from connectors.content import Activity
from connectors.email.inbound import SECRET_HEADER
from storage.access import Scope
from storage.protocol import Transaction
from storage.record import Message, MessageKind
from tests.support.cast import Cast, assemble
from tests.support.gateway import CHANNELS, RunningGateway, gateway_config, running_gateway
from tests.support.mail import BASE, WEBHOOK_SECRET, mail

MAILS = 5_000
LIMIT = 60
AT_ONCE = 50
#: Of a busy machine; it takes a tenth.
PATIENCE = 100.0
HOOK = {SECRET_HEADER: WEBHOOK_SECRET, "Content-Type": "message/rfc822"}
EVE = "eve@bomb.example"


async def _post_all(gateway: RunningGateway, mails: list[bytes]) -> set[int]:
    """The statuses that they were answered with."""
    waiting, statuses = iter(mails), set()

    async def post() -> None:
        for raw in waiting:
            statuses.add((await gateway.request("POST", "/webhooks/mail", data=raw, headers=HOOK))[0])

    await asyncio.gather(*(post() for _ in range(AT_ONCE)))
    return statuses


async def _history(cast: Cast) -> list[Message]:
    """All lines of all mails, once there are so many messages."""

    async def work(tx: Transaction) -> list[Message]:
        lines: list[Message] = []
        known = {
            one.id: one
            for one in await tx.conversations.page(Scope(everything=True), states=(), queue_id="", assignee_id="", before=0, limit=100)
        }
        for id_ in known:
            while page := await tx.messages.of_conversation(id_, lines[-1].pos if lines else 1, 0, 1000):
                lines += page
        return lines

    async with asyncio.timeout(PATIENCE):
        while True:
            found = await cast.gateway.services.store.view(work)
            if sum(line.kind is MessageKind.INBOUND for line in found) >= MAILS:
                return found
            await asyncio.sleep(0.2)


async def test_five_thousand_mails_of_one_sender(tmp_path: Path) -> None:
    channels = {**CHANNELS, "mail": ChannelConfig(kind="email", title="Mail", settings={**BASE, "sender_per_hour": LIMIT})}
    async with running_gateway(gateway_config(tmp_path, channels)) as gateway:
        cast = await assemble(gateway)
        mails = [mail(f"number {number}", sender=EVE, id_=f"{number}@bomb.example") for number in range(MAILS)]
        assert await _post_all(gateway, mails) == {200}
        lines = await _history(cast)

        # Nothing is lost, and everything adds up.
        inbound = [line for line in lines if line.kind is MessageKind.INBOUND]
        assert len(inbound) == MAILS
        assert await gateway.services.store.view(lambda tx: tx.stream.count("message.received", "mail")) == MAILS
        answer = (await cast.amy.get("/reconcile?limit=5000")).json
        assert (answer["balanced"], answer["differences"]) == (True, [])

        # One conversation waits, as after the sixtieth mail; a test may be so slow, or so late, that two hours had their sixty.
        (waiting,) = [one for one in (await cast.sue.get("/conversations")).json["items"] if one["channel"] == "mail"]
        assert waiting["state"] == "queued"
        by_hour: dict[int, list[Message]] = defaultdict(list)
        for line in inbound:
            by_hour[int(line.received_at.timestamp()) // 3600].append(line)
        for within in by_hour.values():
            assert [line.automatic for line in within] == [False] * min(LIMIT, len(within)) + [True] * max(0, len(within) - LIMIT)
        assert waiting["last_inbound_pos"] == max(line.pos for line in inbound if not line.automatic)

        # One line of each hour says so.
        told = [int(part.subject) for line in lines for part in line.parts if isinstance(part, Activity) and part.code == "flooded"]
        beyond = [len(within) - LIMIT for within in by_hour.values() if len(within) > LIMIT]
        assert len(told) == len(beyond)
        assert all(number <= count < 5 * number for number, count in zip(told, beyond, strict=True))
