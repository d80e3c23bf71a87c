import { useSignal } from '@preact/signals';
import type { JSX } from 'preact';
import { useEffect, useLayoutEffect, useRef } from 'preact/hooks';

import type { Conversation } from '../common/types.ts';
import { channelTitle } from './bits.tsx';
import { busy, draftOf, keepDraft, sendFile, write } from './conversation.ts';
import { Icon } from './icons.tsx';
import { focusComposer, noteMode } from './screen.ts';
import { feed } from './store.ts';
import { t } from './texts.ts';
import { agentSent, agentTypes } from './typing.ts';

function grow(field: HTMLTextAreaElement): void {
  field.style.height = 'auto';
  field.style.height = `${Math.min(field.scrollHeight, 260)}px`;
}

export function Composer({ conversation }: { conversation: Conversation }): JSX.Element {
  const field = useRef<HTMLTextAreaElement>(null);
  const picker = useRef<HTMLInputElement>(null);
  const text = useSignal('');
  const note = noteMode.value;
  const wish = focusComposer.value;
  // Unknown channels are not forbidden anything: the gateway has the last word.
  const carries = feed.value.channels.get(conversation.channel)?.capabilities?.sends?.includes('media') ?? true;

  useLayoutEffect(() => {
    text.value = draftOf(conversation.id);
    if (field.current !== null) {
      field.current.value = text.value;
      grow(field.current);
    }
  }, [conversation.id, wish]);
  useEffect(() => {
    if (wish > 0) field.current?.focus();
  }, [wish]);

  const change = (value: string): void => {
    text.value = value;
    keepDraft(conversation.id, value);
    if (field.current !== null) {
      field.current.value = value;
      grow(field.current);
    }
  };
  const send = (): void => {
    const words = text.value.trim();
    if (words === '') return;
    write(conversation.id, words, note);
    agentSent(conversation.id);
    change('');
    field.current?.focus();
  };
  return (
    <form
      class={`composer${note ? ' note' : ''}`}
      onSubmit={(event) => {
        event.preventDefault();
        send();
      }}
    >
      <div class="modes" role="group" aria-label={t('kind')}>
        <button type="button" aria-pressed={!note} onClick={() => (noteMode.value = false)}><Icon name="reply" size={16} /> {t('reply')}</button>
        <button type="button" aria-pressed={note} onClick={() => (noteMode.value = true)}><Icon name="note" size={16} /> {t('note')}</button>
        <span class="where" dir="auto">{note ? t('note_more') : t('answers_by', { channel: channelTitle(conversation.channel) })}</span>
      </div>
      <textarea
        id="composer" ref={field} rows={2} dir="auto" maxLength={65536}
        aria-label={t(note ? 'note' : 'reply')}
        placeholder={t(note ? 'note_placeholder' : 'reply_placeholder')}
        onInput={(event) => {
          change(event.currentTarget.value);
          // Only our own web chat can show it; a note is nobody's business.
          if (!note && text.value !== '' && feed.value.channels.get(conversation.channel)?.kind === 'webchat') agentTypes(conversation.id);
        }}
        onKeyDown={(event) => {
          if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return;
          event.preventDefault();
          send();
        }}
      />
      <div class="actions">
        <input
          ref={picker} type="file" class="hidden" tabIndex={-1} aria-hidden="true"
          onChange={(event) => {
            const file = event.currentTarget.files?.[0];
            event.currentTarget.value = '';
            if (file !== undefined) void sendFile(conversation.id, file);
          }}
        />
        <button type="button" class="plain" aria-label={t('attach')} title={t(carries ? 'attach' : 'attach_not')} disabled={note || busy.value || !carries} onClick={() => picker.current?.click()}>
          <Icon name="clip" />
        </button>
        <span class="hint">{t('enter_sends')}</span>
        <button type="submit" class="primary" disabled={text.value.trim() === ''}>{t(note ? 'add_note' : 'send')}</button>
      </div>
    </form>
  );
}
