import { useSignal } from '@preact/signals';
import type { JSX } from 'preact';
import { useEffect, useLayoutEffect, useRef } from 'preact/hooks';

import { clock, full } from '../common/time.ts';
import type { Conversation, Message, Part } from '../common/types.ts';
import { channelTitle } from './bits.tsx';
import { busy, draftOf, keepDraft, sendFile, write } from './conversation.ts';
import { Icon } from './icons.tsx';
import { planOf, planSoon } from './plan.ts';
import { focusComposer, noteMode } from './screen.ts';
import { feed } from './store.ts';
import { TemplateDialog } from './templates.tsx';
import { locale, t } from './texts.ts';
import { agentSent, agentTypes } from './typing.ts';

function grow(field: HTMLTextAreaElement): void {
  field.style.height = 'auto';
  field.style.height = `${Math.min(field.scrollHeight, 260)}px`;
}

/** The shopper's newest message, if everybody can read it: then an answer may be public, too. */
function publicQuestion(conversation: string): Message | undefined {
  const newest = (feed.value.threads.get(conversation)?.items ?? []).filter((message) => message.kind === 'inbound').at(-1);
  return newest?.public ? newest : undefined;
}

/** How it will look to the shopper, where that differs from what stands in the field. */
function PlanLine({ conversation, text }: { conversation: string; text: string }): JSX.Element | null {
  const known = planOf(conversation, text);
  if (known === null || (known.notes.length === 0 && known.segments < 2)) return null;
  const words = known.notes.map((note) => {
    const own = t(`plan_${note.code}`, { n: known.messages.length });
    return own === `plan_${note.code}` ? note.detail : own;
  });
  if (known.notes.length === 0) words.push(t('plan_segments', { n: known.segments }));
  return <p class="plan" role="status"><Icon name="warn" size={14} /> {words.join(' ')}</p>;
}

function windowText(conversation: Conversation): string {
  const closes = conversation.window?.closes_at;
  return closes ? t('window_until', { time: `${full(closes, locale.value)}` }) : '';
}

export function Composer({ conversation }: { conversation: Conversation }): JSX.Element {
  const field = useRef<HTMLTextAreaElement>(null);
  const picker = useRef<HTMLInputElement>(null);
  const text = useSignal('');
  const note = noteMode.value;
  const wish = focusComposer.value;
  const subject = useSignal('');
  const copies = useSignal('');
  const mailing = useSignal(false);
  const aloud = useSignal(false);
  const picking = useSignal(false);
  const sends = feed.value.channels.get(conversation.channel)?.capabilities?.sends ?? [];
  const question = publicQuestion(conversation.id);
  const shut = !note && question === undefined && conversation.window !== undefined && conversation.window !== null && !conversation.window.sends.includes('text');
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
    if (!note) planSoon(conversation.id, value);
    if (field.current !== null) {
      field.current.value = value;
      grow(field.current);
    }
  };
  const envelope = (words: string): { parts?: readonly Part[] } => {
    const cc = copies.value.split(/[\s,;]+/u).filter((address) => address !== '');
    if (subject.value.trim() === '' && cc.length === 0) return {};
    return { parts: [{ type: 'envelope', subject: subject.value.trim(), cc }, { type: 'text', text: words }] };
  };
  const send = (): void => {
    const words = text.value.trim();
    if (words === '' || shut) return;
    write(conversation.id, words, note, note ? {} : { ...envelope(words), ...(question === undefined ? {} : { public: aloud.value, replyTo: question.id }) });
    agentSent(conversation.id);
    subject.value = copies.value = '';
    mailing.value = false;
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
        <span class="where" dir="auto" title={windowText(conversation)}>
          {note ? t('note_more') : t('answers_by', { channel: channelTitle(conversation.channel) })}
          {!note && !shut && conversation.window?.closes_at ? ` · ${t('window_short', { time: clock(conversation.window.closes_at, locale.value) })}` : ''}
        </span>
      </div>
      {shut && <p class="plan" role="status"><Icon name="warn" size={14} /> {t(sends.includes('template') ? 'window_template' : 'window_shut')}</p>}
      {!note && question !== undefined && (
        <div class="mail" role="group" aria-label={t('answer_where')}>
          <label><input type="radio" name="where" checked={!aloud.value} onChange={() => (aloud.value = false)} /> {t('answer_private')}</label>
          <label><input type="radio" name="where" checked={aloud.value} onChange={() => (aloud.value = true)} /> {t('answer_public')}</label>
        </div>
      )}
      {!note && mailing.value && (
        <div class="mail">
          <input aria-label={t('subject')} placeholder={t('subject')} dir="auto" maxLength={900} value={subject.value} onInput={(event) => (subject.value = event.currentTarget.value)} />
          <input aria-label={t('mail_cc')} placeholder={t('mail_cc')} inputMode="email" value={copies.value} onInput={(event) => (copies.value = event.currentTarget.value)} />
        </div>
      )}
      <textarea
        id="composer" ref={field} rows={2} dir="auto" maxLength={65536} readOnly={shut}
        aria-label={t(note ? 'note' : 'reply')}
        placeholder={t(note ? 'note_placeholder' : 'reply_placeholder')}
        onInput={(event) => {
          change(event.currentTarget.value);
          // Shown where the channel can; a note is nobody's business.
          if (!note && text.value !== '') agentTypes(conversation.id);
        }}
        onKeyDown={(event) => {
          if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return;
          event.preventDefault();
          send();
        }}
      />
      {!note && <PlanLine conversation={conversation.id} text={text.value} />}
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
        {!note && sends.includes('envelope') && <button type="button" class="plain" aria-label={t('subject_copies')} title={t('subject_copies')} aria-pressed={mailing.value} onClick={() => (mailing.value = !mailing.value)}><Icon name="email" /></button>}
        {!note && sends.includes('template') && <button type="button" class={shut ? 'primary' : 'word'} onClick={() => (picking.value = true)}>{t('templates')}</button>}
        {picking.value && <TemplateDialog conversation={conversation} close={() => (picking.value = false)} />}
        <span class="hint">{t('enter_sends')}</span>
        <button type="submit" class="primary" disabled={text.value.trim() === '' || shut}>{t(note ? 'add_note' : 'send')}</button>
      </div>
    </form>
  );
}
