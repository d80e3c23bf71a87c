import assert from 'node:assert/strict';
import { beforeEach, test } from 'node:test';

import { pause, spread, type Link, type Open } from '../../gateway/ui/src/common/live.ts';
import { eitherWay } from '../../gateway/ui/src/widget/line.ts';

/** A WebSocket whose upgrade is refused, or that opens. */
class Refusing {
  static made = 0;
  static opens = false;
  readyState = 3;
  onopen: (() => void) | null = null;
  onmessage: unknown = null;
  onclose: ((event: { code: number }) => void) | null = null;
  constructor() {
    Refusing.made += 1;
    queueMicrotask(() => {
      if (Refusing.opens) this.onopen?.();
      this.onclose?.({ code: 1006 });
    });
  }
  close(): void {}
}

interface Asked { url: string; method: string; headers: Record<string, string>; body: string }
let asked: Asked[] = [];
let answers: Record<string, () => Response> = {};

beforeEach(() => {
  asked = [];
  Refusing.made = 0;
  Refusing.opens = false;
  Object.defineProperty(globalThis, 'navigator', { value: { onLine: true }, configurable: true });
  Object.assign(globalThis, {
    WebSocket: Refusing,
    fetch: async (url: string, init: { method?: string; headers: Record<string, string>; body?: string }) => {
      asked.push({ url, method: init.method ?? 'GET', headers: init.headers, body: init.body ?? '' });
      const answer = answers[url.replace(/.*\//u, '').replace(/\?.*/u, '')];
      if (answer === undefined) throw new TypeError('no connection');
      return answer();
    },
  });
});

function line(): Open {
  return eitherWay({ base: 'https://gw.example/chat/v1/web', token: () => 'the-token', after: () => 7 });
}

/** One connection until it closes; its frames and its code. */
function once(open: Open, opened?: (link: Link) => void): Promise<{ code: number; frames: unknown[] }> {
  return new Promise((resolve) => {
    const frames: unknown[] = [];
    const link = open('wss://gw.example/chat/v1/web/socket', {
      opened: () => opened?.(link),
      frame: (frame) => frames.push(frame),
      closed: (code) => resolve({ code, frames }),
    });
  });
}

test('two refused upgrades, then the stream; when it ends a WebSocket is tried once more', async () => {
  const open = line();
  answers = { events: () => new Response('data: {"type":"hello"}\n\nid: 8\ndata: {"type":"message"}\n\ndata: {"cut') };
  await once(open);
  await once(open);
  assert.deepEqual([Refusing.made, asked.length], [2, 0]);
  const stream = await once(open);
  assert.deepEqual(stream, { code: 1012, frames: [{ type: 'hello' }, { type: 'message' }] });
  await once(open);
  await once(open);
  assert.deepEqual([Refusing.made, asked.length], [3, 2]);
});

test('a WebSocket that stood for a while is no refused one', async () => {
  const open = line();
  Refusing.opens = true;
  for (let turn = 0; turn < 5; turn += 1) await once(open);
  assert.deepEqual([Refusing.made, asked.length], [5, 0]);
});

test('without a network nothing is concluded', async () => {
  Object.defineProperty(globalThis, 'navigator', { value: { onLine: false }, configurable: true });
  const open = line();
  for (let turn = 0; turn < 5; turn += 1) await once(open);
  assert.deepEqual([Refusing.made, asked.length], [5, 0]);
});

test('the token is in a header and never in an address; answers to a frame are frames', async () => {
  const open = line();
  let end = (): void => undefined;
  const body = (): ReadableStream => new ReadableStream({ start: (out) => { end = () => out.close(); } });
  answers = {
    events: () => new Response(body()),
    frames: () => {
      setTimeout(end);
      return Response.json({ items: [{ type: 'ack', id: 'u1', pos: 9 }] });
    },
  };
  await once(open);
  await once(open);
  const { frames } = await once(open, (link) => {
    link.send({ type: 'hello', token: 'the-token' });
    link.send({ type: 'message', id: 'u1', text: 'hi' });
  });
  assert.deepEqual(frames, [{ type: 'ack', id: 'u1', pos: 9 }]);
  assert.deepEqual(asked.map((one) => `${one.method} ${one.url}`), [
    'GET https://gw.example/chat/v1/web/events?after=7',
    'POST https://gw.example/chat/v1/web/frames',
  ]);
  for (const one of asked) assert.equal(one.headers['Authorization'], 'Bearer the-token');
  assert.equal(asked[1]?.body, '{"type":"message","id":"u1","text":"hi"}');
});

test('a token that is worth nothing any more closes as on a socket', async () => {
  const open = line();
  answers = { events: () => new Response('{}', { status: 401 }) };
  await once(open);
  await once(open);
  assert.equal((await once(open)).code, 4401);
});

test('after a restart everybody comes back spread over some seconds', () => {
  assert.deepEqual([spread(0), spread(0.5), spread(1)], [500, 2750, 5000]);
  assert.deepEqual([pause(0, 0), pause(0, 1), pause(3, 0), pause(20, 1)], [250, 500, 2000, 30_000]);
});
