import assert from 'node:assert/strict';
import { test } from 'node:test';

import type { VisitorMessage } from '../../gateway/ui/src/common/types.ts';
import { acknowledge, enqueue, lastPos, mark, receive, receiveAll, type Chat, type Pending } from '../../gateway/ui/src/common/visitor.ts';

const AT = Date.parse('2026-11-01T10:00:00Z');
const empty: Chat = { messages: [], pending: [] };

function line(id: string, text: string, at = AT): Pending {
  return { id, at, text, state: 'sending' };
}

function mine(id: string, pos: number, text: string, client_id = ''): VisitorMessage {
  return { id, pos, mine: true, client_id, parts: [{ type: 'text', text }], at: '2026-11-01T10:00:01Z' };
}

test('a line is replaced by the copy of the server, whatever its words have become', () => {
  const chat = receive(enqueue(empty, line('u1', 'hello')), mine('msg_1', 7, 'Hello!', 'u1'));
  assert.deepEqual([chat.messages.length, chat.pending.length], [1, 0]);
});

test('the same words in another message replace nothing', () => {
  let chat = enqueue(enqueue(empty, line('u1', 'ok')), line('u2', 'ok', AT + 5));
  chat = receive(chat, mine('msg_2', 7, 'ok', 'u2'));
  chat = receive(chat, mine('msg_0', 5, 'ok'));
  assert.deepEqual(chat.pending.map((item) => item.id), ['u1']);
});

test('an acknowledged line stays until the copy comes, and is not lost', () => {
  const chat = acknowledge(enqueue(empty, line('u1', 'hello')), 'u1');
  assert.deepEqual(chat.pending.map((item) => item.state), ['sent']);
  assert.deepEqual(receive(chat, mine('msg_1', 7, 'hello', 'u1')).pending, []);
});

test('sent before a reload and acknowledged again after it: shown once', () => {
  const history = receiveAll(empty, [mine('msg_1', 7, 'hello', 'u1')]);
  const chat = acknowledge(enqueue(history, line('u1', 'hello')), 'u1');
  assert.deepEqual([chat.messages.length, chat.pending.length], [1, 0]);
});

test('a message of the shop never removes a line', () => {
  const chat = receive(enqueue(empty, line('u1', 'hello')), { ...mine('msg_1', 7, 'hello', 'u1'), mine: false });
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
