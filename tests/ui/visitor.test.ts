import assert from 'node:assert/strict';
import { test } from 'node:test';

import type { VisitorMessage } from '../../gateway/ui/src/shared/types.ts';
import { acknowledge, enqueue, lastPos, mark, receive, receiveAll, type Chat, type Pending } from '../../gateway/ui/src/shared/visitor.ts';

const AT = Date.parse('2026-11-01T10:00:00Z');
const empty: Chat = { messages: [], pending: [] };

function line(id: string, text: string, at = AT): Pending {
  return { id, at, text, state: 'sending', pos: 0 };
}

function mine(id: string, pos: number, text: string, at = '2026-11-01T10:00:01Z'): VisitorMessage {
  return { id, pos, mine: true, parts: [{ type: 'text', text }], at };
}

test('a line is replaced by the copy of the server: by id', () => {
  const chat = receive(enqueue(empty, line('u1', 'hello')), mine('u1', 7, 'hello'));
  assert.deepEqual([chat.messages.length, chat.pending.length], [1, 0]);
});

test('… by position, after the acknowledgement', () => {
  const chat = receive(acknowledge(enqueue(empty, line('u1', 'hello')), 'u1', 7), mine('msg_1', 7, 'Hello!'));
  assert.deepEqual([chat.messages.length, chat.pending.length], [1, 0]);
});

test('… by its words, the oldest first', () => {
  let chat = enqueue(enqueue(empty, line('u1', 'ok')), line('u2', 'ok', AT + 5));
  chat = receive(chat, mine('msg_1', 7, 'ok'));
  assert.deepEqual(chat.pending.map((item) => item.id), ['u2']);
});

test('two equal lines are two messages', () => {
  let chat = enqueue(empty, line('u1', 'ok'));
  chat = receive(acknowledge(chat, 'u1', 3), mine('msg_1', 4, 'ok'));
  chat = enqueue(chat, line('u2', 'ok', AT + 60_000));
  chat = receive(acknowledge(chat, 'u2', 5), mine('msg_2', 6, 'ok', '2026-11-01T10:01:01Z'));
  assert.deepEqual([chat.messages.length, chat.pending.length], [2, 0]);
});

test('an acknowledged line stays until the copy comes, and is not lost', () => {
  const chat = acknowledge(enqueue(empty, line('u1', 'hello')), 'u1', 0);
  assert.deepEqual(chat.pending.map((item) => item.state), ['sent']);
});

test('sent before a reload and acknowledged again after it: shown once', () => {
  const history = receiveAll(empty, [mine('msg_1', 7, 'hello')]);
  const chat = acknowledge(enqueue(history, line('u1', 'hello')), 'u1', 6);
  assert.deepEqual([chat.messages.length, chat.pending.length], [1, 0]);
});

test('a message of the shop never removes a line', () => {
  const chat = receive(enqueue(empty, line('u1', 'hello')), { ...mine('msg_1', 7, 'hello'), mine: false });
  assert.equal(chat.pending.length, 1);
});

test('a failed line waits for its retry', () => {
  const chat = receive(mark(enqueue(empty, line('u1', 'ok')), 'u1', 'failed'), mine('msg_1', 7, 'ok'));
  assert.deepEqual(chat.pending.map((item) => item.state), ['failed']);
});

test('history comes in any order and twice', () => {
  const chat = receiveAll(empty, [mine('c', 3, 'c'), mine('a', 1, 'a'), mine('b', 2, 'b'), mine('a', 1, 'a')]);
  assert.deepEqual(chat.messages.map((item) => item.id), ['a', 'b', 'c']);
  assert.equal(lastPos(chat), 3);
});

test('lines from other tabs find their place, once', () => {
  const chat = enqueue(enqueue(enqueue(empty, line('u2', 'b', AT + 2)), line('u1', 'a', AT + 1)), line('u2', 'b', AT + 2));
  assert.deepEqual(chat.pending.map((item) => item.id), ['u1', 'u2']);
});
