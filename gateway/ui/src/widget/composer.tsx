import { useSignal } from '@preact/signals';
import type { JSX, RefObject } from 'preact';
import { useRef } from 'preact/hooks';

import type { Translate } from '../common/i18n.ts';
import { sizeText } from '../common/size.ts';
import type { VisitorChat } from './chat.ts';
import { Clip, FileFace } from './parts.tsx';

/** Most characters in one message of a visitor. */
const LIMIT = 10_000;

interface Props {
  chat: VisitorChat;
  t: Translate;
  locale: string;
  field: RefObject<HTMLTextAreaElement | null>;
}

function grow(field: HTMLTextAreaElement): void {
  field.style.height = 'auto';
  field.style.height = `${Math.min(field.scrollHeight, 140)}px`;
}

/** What goes with the next message: each with its progress, or why it cannot go. */
function Picked({ chat, t, locale }: Omit<Props, 'field'>): JSX.Element | null {
  const items = chat.uploads.list.value;
  if (items.length === 0) return null;
  return (
    <ul class="picked">
      {items.map(({ key, name, size, thumb, progress, problem, id }) => (
        <li key={key} class={problem === '' ? '' : 'bad'}>
          <span class={thumb === '' ? 'card' : 'thumb'}><FileFace name={name} size={size} picture={thumb} locale={locale} /></span>
          {id === '' && problem === '' && (
            <progress max={1} value={progress} aria-label={t('uploading', { name, percent: Math.round(progress * 100) })} />
          )}
          {problem !== '' && <em role="alert">{t(problem, { size: sizeText(chat.uploads.limit, locale) })}</em>}
          <button type="button" aria-label={t('remove', { name })} onClick={() => chat.uploads.remove(key)}>×</button>
        </li>
      ))}
    </ul>
  );
}

export function Composer({ chat, t, locale, field }: Props): JSX.Element {
  const text = useSignal('');
  const picker = useRef<HTMLInputElement>(null);
  const picked = chat.uploads.list.value;
  const going = picked.some((item) => item.id === '' && item.problem === '');
  const tooLong = text.value.length > LIMIT;
  const idle = tooLong || going || (text.value.trim() === '' && !picked.some((item) => item.id !== ''));
  const send = (): void => {
    const words = text.value.trim();
    if (idle) return;
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
      <Picked chat={chat} t={t} locale={locale} />
      <div class="row">
        <input
          ref={picker} type="file" multiple class="hidden" tabIndex={-1} aria-hidden="true"
          onChange={(event) => {
            chat.uploads.add(event.currentTarget.files ?? []);
            event.currentTarget.value = '';
            field.current?.focus();
          }}
        />
        <button type="button" class="attach" aria-label={t('attach')} title={t('attach')} onClick={() => picker.current?.click()}><Clip /></button>
        <textarea
          ref={field}
          rows={1}
          dir="auto"
          aria-label={t('message')}
          placeholder={t('placeholder')}
          onInput={(event) => {
            text.value = event.currentTarget.value;
            grow(event.currentTarget);
            if (text.value !== '') chat.typed();
          }}
          onPaste={(event) => {
            const files = event.clipboardData?.files ?? [];
            if (files.length === 0) return;
            event.preventDefault();
            chat.uploads.add(files);
          }}
          onKeyDown={(event) => {
            // While a word is being composed (Japanese, Chinese, …) Enter chooses it.
            if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return;
            event.preventDefault();
            send();
          }}
        />
        <button type="submit" class="send" aria-label={t('send')} disabled={idle}>
          <svg viewBox="0 0 24 24" width="20" height="20" fill="currentColor" aria-hidden="true">
            <path d="M3.4 20.4 21.5 12.7a.8.8 0 0 0 0-1.4L3.4 3.6a.7.7 0 0 0-1 .9L5 11l9 1-9 1-2.6 6.5a.7.7 0 0 0 1 .9Z" />
          </svg>
        </button>
      </div>
    </form>
  );
}
