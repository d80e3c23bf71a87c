import assert from 'node:assert/strict';
import { beforeEach, test } from 'node:test';

import { Session } from '../../gateway/ui/src/widget/session.ts';
import { Keep, type Settings } from '../../gateway/ui/src/widget/settings.ts';

const settings: Settings = {
  origin: 'https://gw.example', channel: 'web', language: 'en', locale: 'en', title: '', color: '', side: 'right', consent: false, privacy: '', jwt: '',
};
let asked: { path: string; body: unknown; token: string }[] = [];
let answer = (path: string): Response => Response.json({ token: `token of ${path}`, title: 'Shop', texts: { greeting: 'Ciao' } }, { status: 201 });
const plain = answer;

beforeEach(() => {
  asked = [];
  answer = plain;
  Object.defineProperty(globalThis, 'navigator', { value: {}, configurable: true });
  Object.assign(globalThis, {
    fetch: async (url: string, init: { headers: Record<string, string>; body: string }) => {
      const path = url.replace('https://gw.example/chat/v1/web/', '');
      asked.push({ path, body: JSON.parse(init.body), token: init.headers['Authorization'] ?? '' });
      return answer(path);
    },
  });
});

test('a stranger gets a token once, also after a reload', async () => {
  const keep = new Keep(settings);
  const session = new Session(settings, keep);
  await session.begin();
  await session.begin();
  const again = new Session(settings, keep);
  again.restore();
  assert.deepEqual([again.token, again.title.value, again.greeting.value, asked.length], ['token of sessions', 'Shop', 'Ciao', 1]);
  assert.equal(session.fresh, true);
});

test('a signed user begins as one', async () => {
  const session = new Session({ ...settings, jwt: 'signed' }, new Keep(settings));
  await session.begin();
  assert.deepEqual(asked, [{ path: 'sessions', body: { jwt: 'signed' }, token: '' }]);
  assert.equal(await session.identify('signed again'), false);
});

test('a stranger becomes a signed user with both tokens, and nothing is left when they log out', async () => {
  const keep = new Keep(settings);
  const session = new Session(settings, keep);
  await session.begin();
  assert.equal(await session.identify('signed'), true);
  assert.deepEqual(asked[1], { path: 'identify', body: { jwt: 'signed' }, token: 'Bearer token of sessions' });
  assert.equal(session.token, 'token of identify');
  keep.set('consent', '1');
  session.forget();
  assert.deepEqual([session.token, keep.keys('')], [null, ['consent']]);
});

test('a word that is not accepted changes nothing; one that is too old at the beginning is not said again', async () => {
  const session = new Session(settings, new Keep(settings));
  await session.begin();
  answer = () => Response.json({ code: 'bad_jwt' }, { status: 401 });
  assert.equal(await session.identify('wrong'), false);
  assert.equal(session.token, 'token of sessions');
  const late = new Session({ ...settings, jwt: 'old' }, new Keep(settings));
  await assert.rejects(late.begin());
  answer = plain;
  await late.begin();
  assert.deepEqual(asked.at(-1)?.body, {});
});
