import type { JSX } from 'preact';

import { Dialog } from './bits.tsx';
import { helpOpen } from './screen.ts';
import { t } from './texts.ts';

const KEYS: readonly (readonly [string, string])[] = [
  ['j', 'key_next'], ['k', 'key_previous'], ['a', 'accept'], ['r', 'reply'], ['n', 'note'], ['e', 'resolve'], ['/', 'search'], ['?', 'key_help'],
  ['Enter', 'send'], ['Shift + Enter', 'key_line'], ['Esc', 'key_leave'],
];

export function Help(): JSX.Element {
  return (
    <Dialog title={t('shortcuts')} close={() => (helpOpen.value = false)}>
      <dl class="keys">
        {KEYS.map(([key, text]) => (
          <div key={key}>
            <dt><kbd>{key}</kbd></dt>
            <dd>{t(text)}</dd>
          </div>
        ))}
      </dl>
    </Dialog>
  );
}
