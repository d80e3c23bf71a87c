import assert from 'node:assert/strict';
import { test } from 'node:test';

import { withPictures } from '../../gateway/ui/src/inbox/far.ts';

const LINKS = ['https://gw.example/pictures/a', 'https://gw.example/pictures/b'];

const ROWS: readonly (readonly [html: string, asked: string, before: string])[] = [
  ['<img src="remote:0">', '<img src="https://gw.example/pictures/a">', '<img>'],
  ['<img alt="x &lt; y" src="remote:1" width="1">', '<img alt="x &lt; y" src="https://gw.example/pictures/b" width="1">', '<img alt="x &lt; y" width="1">'],
  ['<img src="remote:0"><img src="remote:0">', '<img src="https://gw.example/pictures/a"><img src="https://gw.example/pictures/a">', '<img><img>'],
  ['<img src="remote:7">', '<img>', '<img>'],
  ['<img src="cid:one@x">', '<img src="cid:one@x">', '<img src="cid:one@x">'],
  ['<p>&lt;img src="remote:0"&gt;</p>', '<p>&lt;img src="remote:0"&gt;</p>', '<p>&lt;img src="remote:0"&gt;</p>'],
  ['<a title="<img src=&quot;remote:0&quot;">x</a>', '<a title="<img src=&quot;remote:0&quot;">x</a>', '<a title="<img src=&quot;remote:0&quot;">x</a>'],
];

test('pictures from afar have an address of the gateway, once there is one', () => {
  for (const [html, asked, before] of ROWS) {
    assert.equal(withPictures(html, LINKS), asked);
    assert.equal(withPictures(html, []), before);
  }
  assert.equal(withPictures('<img src="remote:0">', ['x" onerror="alert(1)']), '<img src="x%22 onerror=%22alert(1)">');
});
