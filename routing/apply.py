"""Carries effects out, in order, within one transaction. The only place that writes domain rows and announces them."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Any, ClassVar

from msgspec import structs

from connectors.event import Status, WatermarkReported, decode_event, encode_event
from connectors.identity import Identity
from routing import announce, effect
from routing.assign import Assignment, assign, free_places
from routing.custody import put_file
from routing.line import activity, without_unseen
from routing.load import EVERYTHING, uploads
from routing.state import Move, after
from storage.errors import Conflict
from storage.file import StoredFile, Verdict
from storage.protocol import Transaction
from storage.record import Agent, Appended, Conversation, Customer, Entry, Message, MessageKind, Queue

#: Looked at beyond the free places, because the longest waiting may be in a queue whose members are all busy.
LOOK_AHEAD = 50


class Applied:
    """What one transaction has done so far: the rows as they now stand, and what follows from them."""

    def __init__(self) -> None:
        self.messages: dict[str, Message] = {}
        self.conversations: dict[str, Conversation] = {}
        self.customers: dict[str, Customer] = {}
        self.agents: dict[str, Agent] = {}
        self.queues: dict[str, Queue] = {}
        #: Events that waited for a message which is known now, with their channels.
        self.revived: list[tuple[str, bytes]] = []
        self.outbox = False
        self.media = False


class Applier:
    """One per transaction: ``apply`` for each decision, then ``flush`` once.

    Announcements are numbered at once and appended together: positions have no gaps and nobody else writes meanwhile.
    """

    def __init__(self, tx: Transaction, now: datetime) -> None:
        self._tx = tx
        self._now = now
        self._head = -1
        self._entries: list[Entry] = []
        self._parked: dict[str, bool] = {}
        #: Queues that have to be looked at, and conversations that have just begun to wait.
        self._changed: frozenset[str] = frozenset()
        self._fresh: frozenset[str] = frozenset()
        self.done = Applied()

    async def apply(self, effects: Sequence[effect.Effect], now: datetime | None = None) -> None:
        """Carry ``effects`` out, as of ``now``. Raises what the store raises; the transaction is then lost."""
        self._now = now or self._now
        for one in effects:
            await self._handlers[type(one)](self, one)

    async def flush(self) -> None:
        """Give what waits to whoever is free, and append what was announced.

        Once for all decisions: so the longest waiting comes first among everything that they brought.
        """
        if self._changed:
            await self._assign()
        entries, self._entries = self._entries, []
        outcomes = await self._tx.stream.append(entries) if entries else []
        assert outcomes == [Appended(self._head + 1 + index) for index in range(len(entries))]
        self._head = -1

    async def _next_pos(self) -> int:
        if self._head < 0:
            self._head = await self._tx.stream.head()
        return self._head + len(self._entries) + 1

    async def _announce(self, entry: Entry) -> None:
        await self._next_pos()
        self._entries.append(entry)

    # --- conversations and messages

    def _current(self, conversation: Conversation) -> Conversation:
        """What this transaction has already given to the conversation stays: its number and positions."""
        prior = self.done.conversations.get(conversation.id)
        if prior is None:
            return conversation
        return structs.replace(
            conversation,
            number=prior.number,
            last_pos=max(prior.last_pos, conversation.last_pos),
            last_inbound_pos=max(prior.last_inbound_pos, conversation.last_inbound_pos),
        )

    async def _open(self, one: effect.OpenConversation) -> None:
        conversation = structs.replace(one.conversation, number=await self._tx.conversations.next_number())
        await self._tx.conversations.insert(conversation)
        self.done.conversations[conversation.id] = conversation
        name = await self._customer_name(conversation.customer_id)
        await self._announce(announce.conversation_event("conversation.opened", conversation, self._now, name))

    async def _change_conversation(self, one: effect.ChangeConversation) -> None:
        conversation = self._current(one.conversation)
        await self._tx.conversations.update(conversation)
        self.done.conversations[conversation.id] = conversation
        name = await self._customer_name(conversation.customer_id)
        await self._announce(announce.conversation_event(one.event, conversation, self._now, name, one.reason, one.left_queue))

    async def _add_message(self, one: effect.AddMessage) -> None:
        pos = await self._next_pos()
        message = structs.replace(one.message, pos=pos)
        conversation = self._current(one.conversation)
        if message.kind is not MessageKind.ACTIVITY:
            written = message.kind is MessageKind.INBOUND and not message.automatic
            inbound = pos if written else conversation.last_inbound_pos
            conversation = structs.replace(conversation, last_pos=pos, last_inbound_pos=inbound)
            await self._tx.conversations.update(conversation)
        message = await self._claim_uploads(message)
        await self._tx.messages.insert(message)
        if one.outbox is not None:
            await self._tx.outbox.put(one.outbox)
            self.done.outbox = True
        self.done.messages[message.id] = message
        self.done.conversations[conversation.id] = conversation
        name = await self._customer_name(conversation.customer_id)
        await self._announce(announce.message_event("message.added", message, conversation, self._now, name))
        for part, provider_id in enumerate(one.provider_ids):
            await self._link_id(message.channel, provider_id, message.id, part)

    async def _change_message(self, one: effect.ChangeMessage) -> None:
        await self._tx.messages.update(one.message)
        self.done.messages[one.message.id] = one.message
        for provider_id in one.provider_ids:
            await self._link_id(one.message.channel, provider_id, one.message.id, len(one.message.parts) - 1)
        conversation = await self._tx.conversations.get(one.message.conversation_id, EVERYTHING)
        assert conversation is not None
        name = await self._customer_name(conversation.customer_id)
        await self._announce(announce.message_event(one.event, one.message, conversation, self._now, name))

    async def _claim_uploads(self, message: Message) -> Message:
        """A file that somebody uploaded becomes visible with the conversation it was sent in; a shopper's once a scanner has seen it."""
        unseen: dict[str, StoredFile] = {}
        for stored in uploads(message.parts):
            file = await self._tx.files.get(stored)
            if file is not None and not file.conversation_id:
                await self._tx.files.put(structs.replace(file, conversation_id=message.conversation_id))
            if file is not None and file.verdict in (Verdict.WAITING, Verdict.WITHHELD):
                unseen[stored] = file
        if not unseen or message.kind is not MessageKind.INBOUND:
            return message
        message, jobs = without_unseen(message, unseen, self._now)
        for job in jobs:
            await self._put_media_job(effect.PutMediaJob(job=job))
        return message

    async def _link(self, one: effect.LinkProvider) -> None:
        await self._link_id(one.channel, one.provider_id, one.message_id, one.part)

    async def _link_id(self, channel: str, provider_id: str, message_id: str, part: int) -> None:
        try:
            await self._tx.messages.link(channel, provider_id, message_id, part)
        except Conflict:
            return  # a provider that gives one id to two messages must not keep the second one from being recorded
        await self._revive(channel, provider_id)

    async def _revive(self, channel: str, provider_id: str) -> None:
        if channel not in self._parked:
            self._parked[channel] = await self._tx.messages.any_parked(channel)
        if self._parked[channel]:
            self.done.revived += [(channel, data) for data in await self._tx.messages.unpark(channel, provider_id)]

    async def _report(self, one: effect.ReportPiece) -> None:
        piece = one.piece
        assert piece.status is not None
        await self._tx.messages.report(one.channel, piece.provider_id, one.message_id, piece.status, piece.problem)

    async def _park(self, one: effect.ParkEvent) -> None:
        await self._tx.messages.park(one.channel, one.provider_id, one.data, one.at)
        self._parked[one.channel] = True

    async def _keep_watermark(self, one: effect.KeepWatermark) -> None:
        key = _watermark_key(one.event.status, one.event.sender.identity)
        kept = [decode_event(data) for data in await self._tx.messages.unpark(one.channel, key)]
        newest = max((mark for mark in (*kept, one.event) if isinstance(mark, WatermarkReported)), key=lambda mark: mark.up_to)
        await self._tx.messages.park(one.channel, key, encode_event(newest), one.at)
        self._parked[one.channel] = True

    async def _recall_watermarks(self, one: effect.RecallWatermarks) -> None:
        for status in (Status.DELIVERED, Status.READ):
            await self._revive(one.channel, _watermark_key(status, one.identity))

    async def _remember(self, one: effect.RememberCommand) -> None:
        await self._tx.messages.link("", f"command:{one.command_id}", one.message_id, 0)

    # --- customers

    def know(self, customer: Customer | None) -> None:
        """A decision's snapshot has just read this customer."""
        if customer is not None:
            self.done.customers.setdefault(customer.id, customer)

    async def _customer_name(self, customer_id: str) -> str:
        customer = self.done.customers.get(customer_id) or await self._tx.customers.get(customer_id)
        if customer is None:
            return ""
        self.done.customers[customer_id] = customer
        return customer.name

    async def _put_customer(self, one: effect.PutCustomer) -> None:
        await self._tx.customers.put(one.customer)
        self.done.customers[one.customer.id] = one.customer
        if not one.new:
            await self._announce_customer(one.customer.id)

    async def _put_identity(self, one: effect.PutIdentity) -> None:
        await self._tx.customers.put_identity(one.known)

    async def _identity_changed(self, one: effect.IdentityChanged) -> None:
        known = await self._tx.customers.find(one.identity)
        if known is not None:
            await self._announce_customer(known.customer_id)

    async def _announce_customer(self, customer_id: str) -> None:
        customer = await self._tx.customers.get(customer_id)
        assert customer is not None
        identities = await self._tx.customers.identities(customer_id)
        await self._announce(announce.customer_event(customer, identities, await self._audience(customer_id), self._now))

    async def _audience(self, *customer_ids: str) -> tuple[str, ...]:
        queues = {one.queue_id for owner in customer_ids for one in await self._tx.conversations.of_customer(owner, EVERYTHING)}
        return tuple(sorted(queues))

    async def _move_identities(self, one: effect.MoveIdentities) -> None:
        audience = await self._audience(one.from_id, one.into_id)
        if one.undo:
            moved: list[Identity] = await self._tx.customers.undo_merge(one.from_id, one.into_id)
        else:
            moved = [known.identity for known in await self._tx.customers.identities(one.from_id)]
            await self._tx.customers.record_merge(one.from_id, one.into_id, moved, one.at)
        for identity in moved:
            await self._tx.customers.move_identity(identity, one.from_id if one.undo else one.into_id)
        self.done.conversations.clear()
        type_ = "customer.unmerged" if one.undo else "customer.merged"
        await self._announce(announce.merge_event(type_, one.from_id, one.into_id, moved, audience, self._now))
        for customer_id in (one.into_id, one.from_id):
            customer = await self._tx.customers.get(customer_id)
            if customer is not None:
                self.done.customers[customer_id] = customer

    # --- sending and files

    async def _update_outbox(self, one: effect.UpdateOutbox) -> None:
        await self._tx.outbox.update(one.item)
        if one.attempt is not None:
            await self._tx.outbox.finish_attempt(one.attempt)
        self.done.outbox = True

    async def _note_attempt(self, one: effect.NoteAttempt) -> None:
        await self._tx.outbox.finish_attempt(one.attempt)

    async def _redirect(self, one: effect.RedirectOutbox) -> None:
        await self._tx.outbox.redirect(one.channel, one.old_thread, one.new_thread)

    async def _put_media_job(self, one: effect.PutMediaJob) -> None:
        await self._tx.files.put_job(one.job)
        self.done.media = True

    async def _remove_media_job(self, one: effect.RemoveMediaJob) -> None:
        await self._tx.files.remove_job(one.job_id)

    async def _put_file(self, one: effect.PutFile) -> None:
        for entry in await put_file(self._tx, one.file, self._now):
            await self._announce(entry)

    async def _count(self, one: effect.Count) -> None:
        await self._tx.tallies.add(one.name, one.at)

    # --- agents and queues

    async def _put_agent(self, one: effect.PutAgent) -> None:
        await self._tx.agents.put(one.agent)
        self.done.agents[one.agent.id] = one.agent
        if one.announce:
            await self._announce(announce.agent_event(one.agent, self._now))

    async def _put_queue(self, one: effect.PutQueue) -> None:
        await self._tx.queues.put(one.queue)
        self.done.queues[one.queue.id] = one.queue
        await self._announce(announce.queue_event(one.queue, self._now))

    async def _set_member(self, one: effect.SetMember) -> None:
        if one.member:
            await self._tx.queues.add_member(one.queue_id, one.agent_id)
        else:
            await self._tx.queues.remove_member(one.queue_id, one.agent_id)
        await self._announce(announce.member_event(one.queue_id, one.agent_id, self._now, member=one.member))

    async def _record_decision(self, one: effect.RecordDecision) -> None:
        await self._tx.queues.add_decision(one.decision)
        conversation = await self._tx.conversations.get(one.decision.conversation_id, EVERYTHING)
        assert conversation is not None
        await self._announce(announce.decision_event(one.decision, conversation))

    async def _rebalance(self, one: effect.Rebalance) -> None:
        self._changed |= one.queue_ids
        self._fresh |= one.fresh

    async def _assign(self) -> None:
        """Look at the queues, and at every other queue of whoever is free there: the longest waiting comes first, wherever it waits."""
        members = await self._tx.queues.around(sorted(self._changed))
        fresh, self._changed, self._fresh = self._fresh, frozenset(), frozenset()
        places = free_places(members)
        if not places and not fresh:
            return
        waiting = await self._tx.conversations.waiting(list(members), places + LOOK_AHEAD if places else LOOK_AHEAD)
        waiting += await self._missing_fresh(waiting, fresh)
        for assignment in assign(waiting, members, fresh, self._now):
            await self.apply(_assigned(assignment, self._now, str(await self._next_pos())))

    async def _missing_fresh(self, waiting: list[Conversation], fresh: frozenset[str]) -> list[Conversation]:
        """Those that have just begun to wait stand at the end of a long queue; they get their record all the same."""
        seen = {conversation.id for conversation in waiting}
        found = [await self._tx.conversations.get(id_, EVERYTHING) for id_ in sorted(fresh - seen)]
        return [conversation for conversation in found if conversation is not None and conversation.state.value == "queued"]

    _handlers: ClassVar[dict[type[effect.Effect], Callable[[Any, Any], Awaitable[None]]]] = {
        effect.OpenConversation: _open,
        effect.ChangeConversation: _change_conversation,
        effect.AddMessage: _add_message,
        effect.ChangeMessage: _change_message,
        effect.LinkProvider: _link,
        effect.ReportPiece: _report,
        effect.ParkEvent: _park,
        effect.KeepWatermark: _keep_watermark,
        effect.RecallWatermarks: _recall_watermarks,
        effect.RememberCommand: _remember,
        effect.PutCustomer: _put_customer,
        effect.PutIdentity: _put_identity,
        effect.IdentityChanged: _identity_changed,
        effect.MoveIdentities: _move_identities,
        effect.UpdateOutbox: _update_outbox,
        effect.NoteAttempt: _note_attempt,
        effect.RedirectOutbox: _redirect,
        effect.PutMediaJob: _put_media_job,
        effect.RemoveMediaJob: _remove_media_job,
        effect.PutFile: _put_file,
        effect.PutAgent: _put_agent,
        effect.PutQueue: _put_queue,
        effect.SetMember: _set_member,
        effect.RecordDecision: _record_decision,
        effect.Rebalance: _rebalance,
        effect.Count: _count,
    }


def _watermark_key(status: Status, identity: Identity) -> str:
    """Under which a watermark is parked: no provider's id looks like it."""
    return f"watermark:{status}:{identity}"


def _assigned(assignment: Assignment, now: datetime, seed: str) -> list[effect.Effect]:
    if assignment.load is None:
        return [effect.RecordDecision(decision=assignment.decision)]
    agent = assignment.load.agent
    state = after(assignment.conversation.state, Move.ASSIGN)
    given = structs.replace(assignment.conversation, state=state, assignee_id=agent.id, updated_at=now)
    return [
        effect.ChangeConversation(conversation=given, event="conversation.assigned", reason=assignment.decision.reason),
        effect.RecordDecision(decision=assignment.decision),
        activity(given, now, seed, "assigned", subject=agent.name),
        effect.PutAgent(agent=structs.replace(agent, last_assigned_at=now), announce=False),
    ]
