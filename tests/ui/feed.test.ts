import assert from 'node:assert/strict';
import { test } from 'node:test';

import { applyEvent, emptyState, fillThread, openThread, placeMessage, putOwnMessage, type FeedState, type Viewer } from '../../gateway/ui/src/common/feed.ts';
import type { Conversation, Message } from '../../gateway/ui/src/common/types.ts';

const viewer: Viewer = { id: 'agt_1', role: 'agent', queues: new Set(['que_1']) };

function conversation(change: Partial<Conversation> = {}): Conversation {
  return {
    id: 'cnv_1', number: 1, channel: 'web', identity: { scheme: 'visitor', value: 'v1' }, customer_id: 'cus_1', state: 'queued', queue_id: 'que_1',
    created_at: '2026-11-01T10:00:00Z', updated_at: '2026-11-01T10:00:00Z', ...change,
  };
}

function message(id: string, pos: number, text = id): Message {
  return {
    id, pos, conversation_id: 'cnv_1', kind: 'inbound', author: { kind: 'customer', name: 'Anna' }, parts: [{ type: 'text', text }], at: '2026-11-01T10:00:00Z',
  };
}

function opened(): FeedState {
  const state = applyEvent(emptyState(viewer), { type: 'conversation.opened', pos: 5, data: { conversation: conversation(), customer_name: 'Anna' } });
  return { ...state, threads: new Map([['cnv_1', { items: [message('msg_1', 5)], asOf: 5, more: false }]]) };
}

test('a conversation appears with its customer name, and the position moves on', () => {
  const state = opened();
  assert.equal(state.pos, 5);
  assert.equal(state.conversations.get('cnv_1')?.value.customer_name, 'Anna');
});

test('a frame that was applied before changes nothing', () => {
  const state = opened();
  const frame = { type: 'message.added', pos: 6, data: { message: message('msg_2', 6), conversation: conversation() } };
  const once = applyEvent(state, frame);
  assert.equal(applyEvent(once, frame), once);
  assert.equal(once.threads.get('cnv_1')?.items.length, 2);
});

test('the former state is never touched', () => {
  const state = opened();
  const before = [...state.conversations.values()];
  applyEvent(state, { type: 'conversation.resolved', pos: 9, data: { conversation: conversation({ state: 'resolved' }) } });
  assert.deepEqual([...state.conversations.values()], before);
  assert.equal(state.pos, 5);
});

test('a snapshot older than what is held is dropped', () => {
  let state = opened();
  state = { ...state, conversations: new Map([['cnv_1', { value: conversation({ state: 'resolved' }), pos: 50 }]]) };
  state = applyEvent(state, { type: 'conversation.queued', pos: 20, data: { conversation: conversation() } });
  assert.equal(state.conversations.get('cnv_1')?.value.state, 'resolved');
  assert.equal(state.pos, 20);
});

test('messages older than the loaded thread are not replayed into it', () => {
  let state = opened();
  state = { ...state, threads: new Map([['cnv_1', { items: [message('msg_1', 5, 'edited')], asOf: 40, more: false }]]) };
  state = applyEvent(state, { type: 'message.changed', pos: 30, data: { message: message('msg_1', 5, 'first words') } });
  assert.deepEqual(state.threads.get('cnv_1')?.items[0]?.parts, [{ type: 'text', text: 'edited' }]);
});

test('a status change replaces the message in its place', () => {
  let state = opened();
  state = applyEvent(state, { type: 'message.added', pos: 7, data: { message: message('msg_2', 7), conversation: conversation() } });
  state = applyEvent(state, { type: 'message.status_changed', pos: 8, data: { message: { ...message('msg_1', 5), status: 'read' } } });
  const items = state.threads.get('cnv_1')?.items ?? [];
  assert.deepEqual(items.map((item) => [item.id, item.status]), [['msg_1', 'read'], ['msg_2', undefined]]);
});

test('our own reply is shown once, whichever of answer and event comes first', () => {
  const own = message('msg_9', 9);
  const frame = { type: 'message.added', pos: 9, data: { message: own, conversation: conversation() } };
  const answerFirst = applyEvent(putOwnMessage(opened(), own), frame);
  const eventFirst = putOwnMessage(applyEvent(opened(), frame), own);
  for (const state of [answerFirst, eventFirst]) assert.deepEqual(state.threads.get('cnv_1')?.items.map((item) => item.id), ['msg_1', 'msg_9']);
});

test('a conversation that leaves for a queue of others disappears with its thread', () => {
  const state = applyEvent(opened(), { type: 'conversation.transferred', pos: 6, data: { conversation: conversation({ queue_id: 'que_2' }) } });
  assert.equal(state.conversations.size, 0);
  assert.equal(state.threads.size, 0);
});

test('a supervisor keeps seeing it', () => {
  const all = { ...opened(), viewer: { ...viewer, role: 'supervisor' as const } };
  const state = applyEvent(all, { type: 'conversation.transferred', pos: 6, data: { conversation: conversation({ queue_id: 'que_2' }) } });
  assert.equal(state.conversations.get('cnv_1')?.value.queue_id, 'que_2');
});

test('leaving a queue takes its conversations along', () => {
  const state = applyEvent(opened(), { type: 'queue.member_removed', pos: 6, data: { queue_id: 'que_1', agent_id: 'agt_1' } });
  assert.equal(state.conversations.size, 0);
  const other = applyEvent(opened(), { type: 'queue.member_removed', pos: 6, data: { queue_id: 'que_1', agent_id: 'agt_2' } });
  assert.equal(other.conversations.size, 1);
});

test('a merge moves conversations to the surviving customer, a new name reaches them', () => {
  let state = applyEvent(opened(), { type: 'customer.merged', pos: 6, data: { from_id: 'cus_1', into_id: 'cus_2' } });
  assert.equal(state.conversations.get('cnv_1')?.value.customer_id, 'cus_2');
  state = applyEvent(state, { type: 'customer.changed', pos: 7, data: { customer: { id: 'cus_2', name: 'Anna K.', created_at: '' }, identities: [] } });
  assert.equal(state.conversations.get('cnv_1')?.value.customer_name, 'Anna K.');
});

test('resync_required is remembered, hello and ping change nothing', () => {
  assert.equal(applyEvent(opened(), { type: 'resync_required', reason: 'too old' }).resync, 'too old');
  const state = opened();
  assert.equal(applyEvent(state, { type: 'hello', pos: 99 }), state);
  assert.equal(applyEvent(state, { type: 'ping' }), state);
});

test('hostile and unknown frames do no harm', () => {
  const state = opened();
  for (const data of [null, [], 'x', { conversation: null }, { conversation: { id: 7 } }, JSON.parse('{"__proto__":{"polluted":1}}') as unknown]) {
    for (const type of ['message.added', 'conversation.opened', 'customer.changed', 'queue.changed', 'agent.changed', 'routing.decided', 'new.thing']) {
      assert.equal(applyEvent(state, { type, pos: 6, data }).conversations.size, 1);
    }
  }
  assert.equal(({} as Record<string, unknown>)['polluted'], undefined);
});

test('messages stay in the order of their positions', () => {
  const items = placeMessage(placeMessage([message('b', 2)], message('c', 3)), message('a', 1));
  assert.deepEqual(items.map((item) => item.id), ['a', 'b', 'c']);
});

test('what comes while a thread is being fetched is not lost, and the snapshot wins over what it already holds', () => {
  let state = openThread({ ...opened(), threads: new Map() }, 'cnv_1');
  state = applyEvent(state, { type: 'message.changed', pos: 6, data: { message: message('msg_1', 5, 'older than the snapshot') } });
  state = applyEvent(state, { type: 'message.added', pos: 8, data: { message: message('msg_2', 8) } });
  state = applyEvent(state, { type: 'message.changed', pos: 9, data: { message: message('msg_1', 5, 'edited') } });
  const filled = fillThread(state, 'cnv_1', { items: [message('msg_1', 5, 'snapshot')], asOf: 7, more: false });
  assert.deepEqual(filled.threads.get('cnv_1')?.items.map((item) => item.parts[0]), [{ type: 'text', text: 'edited' }, { type: 'text', text: 'msg_2' }]);
  assert.equal(filled.opening.size, 0);
  const early = fillThread(openThread(opened(), 'cnv_1'), 'cnv_1', { items: [], asOf: 5, more: true });
  assert.deepEqual(early.threads.get('cnv_1'), { items: [], asOf: 5, more: true });
});
