import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';

import { createTranslate, pickLanguage, pickLocale, type Catalogue, type Language } from '../../gateway/ui/src/common/i18n.ts';
import { linkify, safeUrl } from '../../gateway/ui/src/common/links.ts';
import { parseFrame, pause } from '../../gateway/ui/src/common/live.ts';
import { waited } from '../../gateway/ui/src/common/time.ts';

function hrefs(text: string): string[] {
  return linkify(text).flatMap((segment) => (typeof segment === 'string' ? [] : [segment.href]));
}

test('only four schemes become links', () => {
  assert.deepEqual(hrefs('see https://a.example/x, http://b.example mailto:me@c.example tel:+391 www.d.example'), [
    'https://a.example/x', 'http://b.example/', 'mailto:me@c.example', 'tel:+391', 'https://www.d.example/',
  ]);
  for (const text of ['javascript:alert(1)', '\u0001javascript:alert(1)', 'data:text/html,x', '//evil.example', 'vbscript:x', 'file:///etc/passwd', 'blob:https://x']) {
    assert.equal(safeUrl(text), null, text);
  }
  assert.deepEqual(hrefs('javascript:alert(1) data:text/html,<b> //evil.example java\u0000script:x'), []);
});

test('the pieces joined are the text', () => {
  const texts = ['', 'plain', '(see https://a.example/x_(y)).', 'a\u2028</script><img onerror=1> https://a.example?b=<i>', 'https://a.example\u202Egpj.exe', '{{7*7}} ${x} %s'];
  for (const text of texts) {
    assert.equal(linkify(text).map((segment) => (typeof segment === 'string' ? segment : segment.text)).join(''), text);
  }
  assert.deepEqual(hrefs('(see https://a.example/x_(y)).'), ['https://a.example/x_(y)']);
  assert.deepEqual(hrefs('https://a.example\u202Egpj.exe'), ['https://a.example/']);
});

test('the true host is told where the text hides it', () => {
  const hosts = (text: string): string[] => linkify(text).flatMap((segment) => (typeof segment === 'string' ? [] : [segment.host]));
  assert.deepEqual(hosts('https://shop.example/cart https://SHOP.example www.shop.example'), ['', '', '']);
  assert.deepEqual(hosts('https://shop.example@evil.example/'), ['evil.example']);
  assert.deepEqual(hosts('https://\u0430pple.example/'), ['xn--pple-43d.example']);
});

test('the wished language, else English', () => {
  assert.equal(pickLanguage(['', 'pl-PL']), 'pl');
  assert.equal(pickLanguage([null, 'de', 'it_IT']), 'it');
  assert.equal(pickLanguage(['de']), 'en');
  assert.equal(pickLocale('en', ['it-IT', 'en-GB']), 'en-GB');
  assert.equal(pickLocale('en', ['en-US@posix']), 'en');
});

test('placeholders are filled once, plurals follow the language', () => {
  const catalogues = { en: { a: '{x} {y}', n_one: 'one', n_other: '{n}' }, it: {}, pl: { n_one: '{n} rozmowa', n_few: '{n} rozmowy', n_many: '{n} rozmów' } };
  const en = createTranslate(catalogues, 'en');
  assert.equal(en('a', { x: '{y}', y: '<b>' }), '{y} <b>');
  assert.equal(en('missing'), 'missing');
  assert.equal(en('constructor'), 'constructor');
  const pl = createTranslate(catalogues, 'pl');
  assert.deepEqual([1, 2, 5, 22].map((n) => pl('n', { n })), ['1 rozmowa', '2 rozmowy', '5 rozmów', '22 rozmowy']);
  assert.equal(pl('a', { x: 1, y: 2 }), '1 2');
});

test('every catalogue says everything, with the same placeholders', () => {
  const bare = (key: string): string => key.replace(/_(zero|one|two|few|many|other)$/u, '');
  const marks = (text: string): string => [...text.matchAll(/\{\w+\}/gu)].map(String).sort().join();
  for (const folder of ['widget', 'inbox']) {
    const read = (language: Language): Catalogue =>
      JSON.parse(readFileSync(new URL(`../../gateway/ui/src/${folder}/${language}.json`, import.meta.url), 'utf8')) as Catalogue;
    const en = read('en');
    for (const language of ['it', 'pl'] as const) {
      const other = read(language);
      assert.deepEqual([...new Set(Object.keys(other).map(bare))].sort(), [...new Set(Object.keys(en).map(bare))].sort(), `${folder} ${language}`);
      for (const [key, text] of Object.entries(other)) {
        assert.ok(text.trim() !== '', `${folder} ${language} ${key} is empty`);
        if (en[key] !== undefined && bare(key) === key) assert.equal(marks(text), marks(en[key]), `${folder} ${language} ${key}`);
      }
    }
  }
});

test('pauses grow to a bound and are spread', () => {
  assert.deepEqual([0, 1, 2, 50].map((attempt) => pause(attempt, 0)), [250, 500, 1000, 15_000]);
  assert.ok(pause(50, 0.999) <= 30_000);
});

test('a frame is a JSON object, or nothing', () => {
  for (const data of ['', '[]', 'null', '3', '{', new ArrayBuffer(1), undefined]) assert.equal(parseFrame(data), null);
  assert.deepEqual(parseFrame('{"type":"ping"}'), { type: 'ping' });
});

test('waiting times', () => {
  const since = '2026-11-01T10:00:00Z';
  const after = (seconds: number): string => waited(since, Date.parse(since) + seconds * 1000);
  assert.deepEqual([-5, 45, 720, 11_100, 300_000].map(after), ['0 s', '45 s', '12 min', '3 h 05', '3 d']);
});
