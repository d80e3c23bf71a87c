import assert from 'node:assert/strict';
import { test } from 'node:test';

import type { Message } from '../../gateway/ui/src/common/types.ts';
import { unshown, type Outgoing } from '../../gateway/ui/src/inbox/outgoing.ts';

function line(id: string, pos: number, text: string, change: Partial<Message> = {}): Message {
  return {
    id, pos, conversation_id: 'cnv_1', kind: 'outbound', author: { kind: 'agent', id: 'agt_1', name: 'Ada' }, parts: [{ type: 'text', text }],
    at: '2026-11-01T10:00:00Z', ...change,
  };
}

function going(key: string, text: string, change: Partial<Outgoing> = {}): Outgoing {
  return { key, conversation: 'cnv_1', text, parts: [], note: false, seen: 5, state: 'sending', problem: '', ...change };
}

const keys = (items: readonly Outgoing[]): string[] => items.map((item) => item.key);

test('what the feed brought before the answer is not shown twice', () => {
  assert.deepEqual(keys(unshown([going('a', 'Yes ')], [line('m1', 6, 'Yes')], 'agt_1')), []);
  assert.deepEqual(keys(unshown([going('a', 'x', { note: true })], [line('m1', 6, 'x', { kind: 'note' })], 'agt_1')), []);
  const media = { type: 'media', kind: 'image', ref: 'fil_1' } as const;
  assert.deepEqual(keys(unshown([going('a', 'name', { parts: [media] })], [line('m1', 6, '', { parts: [{ ...media, stored: 'fil_1' }] })], 'agt_1')), []);
});

test('only the line that it became hides a reply', () => {
  const reply = [going('a', 'Yes')];
  for (const other of [
    line('m1', 5, 'Yes'), line('m1', 6, 'No'), line('m1', 6, 'Yes', { kind: 'note' }), line('m1', 6, 'Yes', { author: { kind: 'agent', id: 'agt_2', name: 'Ben' } }),
  ]) {
    assert.deepEqual(keys(unshown(reply, [other], 'agt_1')), ['a']);
  }
  assert.deepEqual(keys(unshown([going('a', 'Yes'), going('b', 'Yes')], [line('m1', 6, 'Yes')], 'agt_1')), ['b']);
  assert.deepEqual(keys(unshown([going('a', 'Yes', { state: 'failed' })], [line('m1', 6, 'Yes')], 'agt_1')), ['a']);
});
