import type { JSX } from 'preact';

import { LinkedText } from '../common/linked-text.tsx';
import { clock, full } from '../common/time.ts';
import type { Message, Status } from '../common/types.ts';
import { wordsOf } from '../common/visitor.ts';
import { ChannelMark, channelTitle, customerName } from './bits.tsx';
import { deliver, keepDraft, takeBack, draftOf } from './conversation.ts';
import { Icon } from './icons.tsx';
import type { Outgoing } from './outgoing.ts';
import { PartView } from './parts.tsx';
import { focusComposer, noteMode } from './screen.ts';
import { feed } from './store.ts';
import { locale, t } from './texts.ts';

/** A system line in words; a code that this page does not know is shown as it is. */
function activityText(message: Message): string {
  const part = message.parts.find((one) => one.type === 'activity');
  if (part === undefined) return wordsOf(message.parts);
  const { code, actor = '' } = part;
  const subject = code === 'linked' ? channelTitle(part.subject ?? '') : (part.subject ?? '');
  const key = code === 'assigned' && actor !== '' && actor === subject ? 'act_accepted' : `act_${code}${actor === '' ? '' : '_by'}`;
  const text = t(key, { actor, subject });
  return text === key ? [code, actor, subject].filter((word) => word !== '').join(' · ') : text;
}

const TICKS: Readonly<Record<Status, string>> = {
  queued: '◷', sending: '◷', retry: '↻', unknown: '?', sent: '✓', delivered: '✓✓', read: '✓✓', failed: '!', expired: '!',
};

function StatusMark({ status }: { status: Status }): JSX.Element {
  return <span class={`tick ${status}`} title={t(`status_${status}`)}><span aria-hidden="true">{TICKS[status]}</span><span class="hidden">{t(`status_${status}`)}</span></span>;
}

function Reactions({ message }: { message: Message }): JSX.Element | null {
  const all = Object.values(message.reactions ?? {}).flat();
  return all.length === 0 ? null : <span class="reactions" title={t('reactions')}>{all.join(' ')}</span>;
}

function authorName(message: Message): string {
  if (message.author.name) return message.author.name;
  const conversation = feed.value.conversations.get(message.conversation_id)?.value;
  return message.kind === 'inbound' && conversation !== undefined ? customerName(conversation) : t(`author_${message.author.kind}`);
}

function Quote({ of }: { of: Message }): JSX.Element {
  const first = of.parts[0];
  const text = wordsOf(of.parts) || (first?.type === 'media' ? t(`media_${first.kind}`) : '…');
  return <blockquote dir="auto"><bdi class="quoted">{authorName(of)}</bdi>{of.deleted ? t('deleted') : text.slice(0, 140)}</blockquote>;
}

interface LineProps { message: Message; joined: boolean; quoted?: Message | undefined; showChannel?: boolean }

export function Line({ message, joined, quoted, showChannel = false }: LineProps): JSX.Element {
  const when = <time dateTime={message.at} title={full(message.at, locale.value)}>{clock(message.at, locale.value)}</time>;
  if (message.kind === 'activity') {
    return <div class="activity"><span dir="auto">{activityText(message)}</span> {when}</div>;
  }
  const bad = message.status === 'failed' || message.status === 'expired' || message.status === 'unknown';
  return (
    <article class={`line ${message.kind}${joined ? ' joined' : ''}${bad ? ' bad' : ''}`}>
      {!joined && (
        <div class="author">
          {message.kind === 'note' && <Icon name="note" size={14} />}
          <bdi>{authorName(message)}</bdi>
          {message.kind === 'note' && <span>· {t('private')}</span>}
          {showChannel && message.channel ? <ChannelMark channel={message.channel} /> : null}
        </div>
      )}
      <div class="bubble">
        {message.forwarded_from ? <p class="forwarded">↪ {t('forwarded')} <bdi>{message.forwarded_from}</bdi></p> : null}
        {quoted !== undefined && <Quote of={quoted} />}
        {message.deleted && <p class="text muted">{t('deleted')}</p>}
        <div class={message.deleted ? 'taken-back' : ''}>{message.parts.map((part, index) => <PartView key={index} part={part} message={message} />)}</div>
        <Reactions message={message} />
      </div>
      <div class="meta">
        {when}
        {message.public && <span class="warn" title={t('public_more')}>· {t('public')}</span>}
        {message.edited_at && !message.deleted ? <span>· {t('edited')}</span> : null}
        {message.kind === 'outbound' && message.status ? <StatusMark status={message.status} /> : null}
        {message.possible_duplicate && <span class="warn" title={t('possible_duplicate_more')}>· {t('possible_duplicate')}</span>}
      </div>
      {message.problem ? <p class="problem" role="note"><Icon name="warn" size={15} /> <span dir="auto">{message.problem}</span></p> : null}
    </article>
  );
}

/** A reply on its way to the gateway, or stopped before it. */
export function OutgoingLine({ item }: { item: Outgoing }): JSX.Element {
  const edit = (): void => {
    takeBack(item.key);
    const former = draftOf(item.conversation);
    keepDraft(item.conversation, former === '' ? item.text : `${item.text}\n${former}`);
    noteMode.value = item.note;
    focusComposer.value += 1;
  };
  return (
    <article class={`line ${item.note ? 'note' : 'outbound'} ${item.state === 'sending' ? 'going' : 'bad'}`}>
      <div class="bubble"><LinkedText text={item.text} /></div>
      {item.state === 'sending' ? (
        <div class="meta">{t('status_sending')}</div>
      ) : (
        <div class="stopped" role="alert">
          <span><Icon name="warn" size={15} /> {item.problem}</span>
          <button type="button" onClick={() => void deliver(item, item.state === 'failed')}>{t(item.state === 'stale' ? 'send_anyway' : 'try_again')}</button>
          {item.parts.length === 0 && <button type="button" onClick={edit}>{t('edit')}</button>}
          <button type="button" onClick={() => takeBack(item.key)}>{t('discard')}</button>
        </div>
      )}
    </article>
  );
}
