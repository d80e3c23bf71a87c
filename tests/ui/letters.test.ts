import assert from 'node:assert/strict';
import { test } from 'node:test';

import { imitates } from '../../gateway/ui/src/common/letters.ts';

test('b34 an address that may imitate another is marked', () => {
  // Cyrillic а and ѕ, a Greek ο, the Kelvin sign, a wide letter, and domains whose letters are coded.
  for (const address of ['\u0430lice@shop.com', 'alice@\u0455hop.com', 'b\u03bfb@shop.com', '\u212aate@shop.com', '\uff41lice@shop.com', 'alice@xn--hop-lqd.com', 'a@b.XN--P1AI']) {
    assert.equal(imitates(address), true, address);
  }
});

test('b34 honest addresses are not', () => {
  for (const address of ['alice@shop.com', 'A.b+x@gmail.com', 'zażółć@przykład.example', 'müller@example.org', 'иван@пример', '+39351000000', 'ann@axn--b.example', '李@例子', '']) {
    assert.equal(imitates(address), false, address);
  }
});
