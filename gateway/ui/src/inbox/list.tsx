import { useSignal } from '@preact/signals';
import type { JSX } from 'preact';

import { short } from '../common/time.ts';
import type { Conversation } from '../common/types.ts';
import { agentName, Avatar, ChannelMark, customerName, Wait } from './bits.tsx';
import { choose, draftOf } from './conversation.ts';
import { Icon } from './icons.tsx';
import { feed, find, listed, me, now, selected, setPresence, view } from './store.ts';
import { locale, t } from './texts.ts';

/** Rows drawn at once; more on demand, so that a flood does not slow the page down. */
const STEP = 100;

function heading(): string {
  if (find.value.trim() !== '') return t('results');
  const which = view.value;
  return which.startsWith('queue:') ? (feed.value.queues.get(which.slice(6))?.name ?? '') : t(`view_${which}`);
}

export function List(): JSX.Element {
  const shown = useSignal(STEP);
  const rows = listed.value;
  return (
    <section class="list" aria-label={t('conversations')}>
      <header>
        <h1 dir="auto">{heading()}<span class="count">{rows.length}</span></h1>
        <label class="search">
          <Icon name="search" size={16} />
          <span class="hidden">{t('search')}</span>
          <input id="find" type="search" placeholder={t('search')} value={find.value} onInput={(event) => (find.value = event.currentTarget.value)} />
        </label>
      </header>
      <NotOnline />
      {rows.length === 0 ? (
        <div class="empty"><Icon name="resolved" size={34} /><p>{t(find.value === '' ? 'nothing_here' : 'nothing_found')}</p></div>
      ) : (
        <ul class="rows">
          {rows.slice(0, shown.value).map((row) => <Row key={row.id} row={row} />)}
          {rows.length > shown.value && (
            <li><button type="button" class="more" onClick={() => (shown.value += STEP)}>{t('show_more')}</button></li>
          )}
        </ul>
      )}
    </section>
  );
}

/** Somebody who waits for work that the router will not give them should know why. */
function NotOnline(): JSX.Element | null {
  const presence = me.value?.presence ?? 'offline';
  if (presence === 'online') return null;
  return (
    <p class="not-online">
      <span>{t('not_online', { presence: t(presence).toLowerCase() })}</span>
      <button type="button" onClick={() => void setPresence('online')}>{t('go_online')}</button>
    </p>
  );
}

function Row({ row }: { row: Conversation }): JSX.Element {
  const name = customerName(row);
  const here = selected.value === row.id;
  const unread = (row.last_inbound_pos ?? 0) > (row.seen_pos ?? 0);
  const draft = here ? '' : draftOf(row.id);
  const minute = Math.floor(now.value / 60_000) * 60_000;
  return (
    <li id={`row-${row.id}`}>
      <button type="button" class={`row${here ? ' here' : ''}${unread ? ' unread' : ''}`} aria-current={here ? 'true' : undefined} onClick={() => void choose(row.id)}>
        <span class="portrait"><Avatar name={name} seed={row.customer_id} /><ChannelMark channel={row.channel} /></span>
        <span class="body">
          <span class="top">
            <bdi class="name">{name}</bdi>
            <time dateTime={row.updated_at}>{short(row.updated_at, locale.value, minute)}</time>
          </span>
          <span class="preview" dir="auto">{draft !== '' ? <><em>{t('draft')}</em> {draft}</> : row.preview || '…'}</span>
          <span class="marks">
            {row.state === 'queued' && row.waiting_since ? <Wait since={row.waiting_since} /> : <span class={`state ${row.state}`}>{t(`state_${row.state}`)}</span>}
            {row.assignee_id ? <bdi class="who">{agentName(row.assignee_id)}</bdi> : null}
            {unread && <span class="dot" title={t('unread')}><span class="hidden">{t('unread')}</span></span>}
          </span>
        </span>
      </button>
    </li>
  );
}
