"""Queues, agents, credentials, files and idempotency keys."""

import pytest
from msgspec import structs

from storage.access import Credential, SavedReply
from storage.errors import Conflict, NotFound
from storage.file import MediaJob, StoredFile, Verdict
from storage.protocol import Store, Transaction
from storage.record import AgentLoad, Candidate, Decision, Presence, Queue, Role, State
from tests.support.rows import ADA, BEN, NOW, after, agent, conversation, customer


async def test_there_is_always_one_default_queue(store: Store) -> None:
    first = await store.view(lambda tx: tx.queues.default())
    assert (first.name, first.is_default) == ("General", True)
    second = Queue(id="que_2", name="Returns", created_at=after(1e9), is_default=True)

    async def work(tx: Transaction) -> None:
        await tx.queues.put(second)
        assert await tx.queues.default() == second
        assert [(queue.name, queue.is_default) for queue in await tx.queues.all()] == [("General", False), ("Returns", True)]
        assert await tx.queues.by_name("Returns") == await tx.queues.get("que_2") == second
        assert await tx.queues.by_name("returns") is None
        with pytest.raises(Conflict, match="default"):
            await tx.queues.put(Queue(id="que_2", name="Returns", created_at=NOW))
        with pytest.raises(Conflict):  # a name that is taken, by one that would be the default
            await tx.queues.put(Queue(id="que_3", name="General", created_at=NOW, is_default=True))
        assert await tx.queues.default() == second

    await store.transact(work)


async def test_members_and_their_load(store: Store) -> None:
    async def work(tx: Transaction) -> None:
        for id_ in ("agt_1", "agt_2"):
            await tx.agents.put(agent(id_))
        await tx.queues.put(Queue(id="que_2", name="Returns", created_at=NOW))
        for id_ in ("agt_2", "agt_1", "agt_1"):
            await tx.queues.add_member("que_2", id_)
        await tx.customers.put(customer())
        await tx.conversations.insert(conversation(1, state=State.OPEN, assignee_id="agt_2"))
        await tx.conversations.insert(conversation(2, state=State.SNOOZED, assignee_id="agt_2", identity=BEN))
        await tx.conversations.insert(conversation(3, state=State.RESOLVED, assignee_id="agt_2", identity=ADA))
        assert await tx.queues.members("que_2") == [
            AgentLoad(agent=agent("agt_1"), open_count=0),
            AgentLoad(agent=agent("agt_2"), open_count=1),
        ]
        assert await tx.agents.open_count("agt_2") == 1
        assert await tx.queues.of_agent("agt_2") == frozenset({"que_2"})
        await tx.queues.remove_member("que_2", "agt_2")
        await tx.queues.remove_member("que_2", "agt_2")
        assert await tx.queues.of_agent("agt_2") == frozenset()
        for queue, id_ in (("que_2", "agt_9"), ("que_9", "agt_1")):
            with pytest.raises(Conflict):
                await tx.queues.add_member(queue, id_)

    await store.transact(work)


async def test_decisions_newest_first(store: Store) -> None:
    looked_at = Candidate(agent_id="agt_1", name="Eve", open_count=5, capacity=5, eligible=False, reason="at capacity")
    decisions = [
        Decision(
            conversation_id="cnv_1",
            queue_id="que_1",
            at=NOW,
            outcome="waiting",
            agent_id="",
            reason=f"reason {number}",
            candidates=(looked_at,),
        )
        for number in range(3)
    ]

    async def work(tx: Transaction) -> None:
        for decision in decisions:
            await tx.queues.add_decision(decision)
        assert await tx.queues.decisions("cnv_1", 2) == [decisions[2], decisions[1]]
        assert await tx.queues.decisions("cnv_2", 2) == []

    await store.transact(work)


async def test_agents(store: Store) -> None:
    whole = agent(role=Role.ADMIN, presence=Presence.AWAY, capacity=9, disabled=True, last_assigned_at=after(3))

    async def work(tx: Transaction) -> None:
        await tx.agents.put(whole)
        assert await tx.agents.get("agt_1") == await tx.agents.by_email("agt_1@shop.example") == whole
        assert await tx.agents.password_hash("agt_1") == ""
        await tx.agents.set_password_hash("agt_1", "$argon2id$x")
        await tx.agents.put(agent(name="Eve II"))
        assert await tx.agents.password_hash("agt_1") == "$argon2id$x"  # a change of name keeps the password
        with pytest.raises(Conflict):
            await tx.agents.put(agent("agt_2", email="agt_1@shop.example"))
        for bot in ("agt_3", "agt_4"):
            await tx.agents.put(agent(bot, email="", role=Role.BOT, created_at=after(1)))
        assert [each.id for each in await tx.agents.all()] == ["agt_1", "agt_3", "agt_4"]
        assert await tx.agents.by_email("") is None
        assert await tx.agents.get("agt_9") is None
        assert await tx.agents.password_hash("agt_9") == ""
        with pytest.raises(NotFound):
            await tx.agents.set_password_hash("agt_9", "x")

    await store.transact(work)


async def test_credentials(store: Store) -> None:
    def made(number: int, kind: str = "session") -> Credential:
        return Credential(
            id=f"crd_{number}",
            agent_id="agt_1",
            kind=kind,
            digest=f"digest {number}",
            created_at=after(number),
            used_at=after(number),
            expires_at=after(99),
            label="laptop",
        )

    async def work(tx: Transaction) -> None:
        await tx.agents.put(agent())
        for credential in (made(1), made(2), made(3, "token")):
            await tx.agents.put_credential(credential)
        assert await tx.agents.credential("digest 2") == made(2)
        assert await tx.agents.credential("digest") is None
        assert await tx.agents.credentials("agt_1", "session") == [made(1), made(2)]
        await tx.agents.touch_credential("crd_3", after(50))
        touched = await tx.agents.credential("digest 3")
        assert touched is not None
        assert touched.used_at == after(50)
        await tx.agents.remove_credential("crd_1")
        assert await tx.agents.credential("digest 1") is None
        await tx.agents.remove_credentials("agt_1", "session")
        assert await tx.agents.credentials("agt_1", "session") == []
        assert len(await tx.agents.credentials("agt_1", "token")) == 1
        assert await tx.agents.forget_credentials(after(99)) == 0
        assert await tx.agents.forget_credentials(after(100)) == 1
        assert await tx.agents.credential("digest 3") is None

    await store.transact(work)


async def test_files(store: Store) -> None:
    def job(number: int, seconds: float) -> MediaJob:
        return MediaJob(id=f"med_{number}", channel="tg", message_id="msg_1", part=0, ref="file", attempts=1, next_at=after(seconds))

    file = StoredFile(
        id="med_1", sha256="ab", mime="image/png", name="a.png", size=2**40, created_at=NOW, conversation_id="cnv_1", uploader="agt_1"
    )
    judged = structs.replace(file, id="med_9", verdict=Verdict.WITHHELD, finding="Eicar-Test-Signature")

    async def work(tx: Transaction) -> None:
        assert await tx.files.next_due() is None
        for each in (job(1, 5), job(2, 1), job(3, 99)):
            await tx.files.put_job(each)
        assert await tx.files.due_jobs(after(5), 10) == [job(2, 1), job(1, 5)]
        assert await tx.files.due_jobs(after(5), 1) == [job(2, 1)]
        assert await tx.files.next_due() == after(1)
        await tx.files.put_job(job(2, 60))
        assert await tx.files.next_due() == after(5)
        await tx.files.remove_job("med_1")
        assert await tx.files.next_due() == after(60)
        await tx.files.put(file)
        assert await tx.files.get("med_1") == file
        assert await tx.files.get("med_2") is None
        await tx.files.put(structs.replace(judged, verdict=Verdict.WAITING, finding=""))
        await tx.files.put(judged)
        assert await tx.files.get("med_9") == judged

    await store.transact(work)


async def test_idempotency_keys(store: Store) -> None:
    async def work(tx: Transaction) -> None:
        requests = tx.requests
        assert await requests.begin("agt_1", "k", "f1", NOW) is None
        assert await requests.begin("agt_1", "k", "f2", after(1)) == SavedReply(fingerprint="f1", status=0, body=b"", at=NOW)
        assert await requests.begin("agt_2", "k", "f1", NOW) is None
        await requests.finish("agt_1", "k", 201, b"{\x00}")
        assert await requests.begin("agt_1", "k", "f1", after(1)) == SavedReply(fingerprint="f1", status=201, body=b"{\x00}", at=NOW)
        await requests.release("agt_1", "k")  # it has its answer, which stays
        assert await requests.begin("agt_1", "k", "f1", NOW) is not None
        await requests.release("agt_2", "k")
        assert await requests.begin("agt_2", "k", "f3", after(2)) is None
        assert await requests.forget(after(1)) == 1
        assert await requests.begin("agt_1", "k", "f4", after(3)) is None
        with pytest.raises(NotFound):
            await requests.finish("agt_9", "k", 200, b"")

    await store.transact(work)


async def test_settings_are_kept_by_name(store: Store) -> None:
    assert await store.view(lambda tx: tx.settings.get("secret_key")) == ""
    await store.transact(lambda tx: tx.settings.put("secret_key", "one"))
    await store.transact(lambda tx: tx.settings.put("other", "ключ"))
    await store.transact(lambda tx: tx.settings.put("secret_key", "two"))
    assert await store.view(lambda tx: tx.settings.get("secret_key")) == "two"
    assert await store.view(lambda tx: tx.settings.get("other")) == "ключ"
    await store.transact(lambda tx: tx.settings.put("other", ""))
    assert await store.view(lambda tx: tx.settings.get("other")) == ""
