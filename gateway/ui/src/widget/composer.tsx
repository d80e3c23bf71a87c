import { useSignal } from '@preact/signals';
import type { JSX, RefObject } from 'preact';

import type { Translate } from '../shared/i18n.ts';
import type { VisitorChat } from './chat.ts';

/** Most characters in one message of a visitor. */
const LIMIT = 10_000;

interface Props {
  chat: VisitorChat;
  t: Translate;
  field: RefObject<HTMLTextAreaElement | null>;
}

function grow(field: HTMLTextAreaElement): void {
  field.style.height = 'auto';
  field.style.height = `${Math.min(field.scrollHeight, 140)}px`;
}

export function Composer({ chat, t, field }: Props): JSX.Element {
  const text = useSignal('');
  const tooLong = text.value.length > LIMIT;
  const send = (): void => {
    const words = text.value.trim();
    if (words === '' || tooLong) return;
    chat.say(words);
    text.value = '';
    if (field.current !== null) {
      field.current.value = '';
      grow(field.current);
      field.current.focus();
    }
  };
  const problem = tooLong ? t('too_long', { limit: LIMIT }) : chat.problem.value === '' ? '' : t(chat.problem.value, { limit: LIMIT });
  return (
    <form
      class="composer"
      onSubmit={(event) => {
        event.preventDefault();
        send();
      }}
    >
      <p class="problem" role="alert">{problem}</p>
      <div class="row">
        <textarea
          ref={field}
          rows={1}
          dir="auto"
          aria-label={t('message')}
          placeholder={t('placeholder')}
          onInput={(event) => {
            text.value = event.currentTarget.value;
            grow(event.currentTarget);
          }}
          onKeyDown={(event) => {
            // While a word is being composed (Japanese, Chinese, …) Enter chooses it.
            if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return;
            event.preventDefault();
            send();
          }}
        />
        <button type="submit" class="send" aria-label={t('send')} disabled={text.value.trim() === '' || tooLong}>
          <svg viewBox="0 0 24 24" width="20" height="20" fill="currentColor" aria-hidden="true">
            <path d="M3.4 20.4 21.5 12.7a.8.8 0 0 0 0-1.4L3.4 3.6a.7.7 0 0 0-1 .9L5 11l9 1-9 1-2.6 6.5a.7.7 0 0 0 1 .9Z" />
          </svg>
        </button>
      </div>
    </form>
  );
}
