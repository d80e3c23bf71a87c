import type { JSX } from 'preact';

import type { Conversation } from '../common/types.ts';
import { agentName, Avatar, channelTitle, customerName, Menu, queueName, Wait } from './bits.tsx';
import { Composer } from './composer.tsx';
import { act, busy, choose } from './conversation.ts';
import { Icon } from './icons.tsx';
import { detailsOpen } from './screen.ts';
import { current, feed, live, viewer } from './store.ts';
import { locale, t } from './texts.ts';
import { Thread } from './thread.tsx';

function at(days: number, hour: number): Date {
  const date = new Date();
  date.setDate(date.getDate() + days);
  date.setHours(hour, 0, 0, 0);
  return date;
}

/** Ends of a snooze, by key. */
function snoozes(): ReadonlyMap<string, Date> {
  const monday = (8 - new Date().getDay()) % 7 || 7;
  return new Map([['hour', new Date(Date.now() + 3_600_000)], ['three_hours', new Date(Date.now() + 10_800_000)], ['tomorrow', at(1, 9)], ['monday', at(monday, 9)]]);
}

function Snooze({ conversation }: { conversation: Conversation }): JSX.Element {
  const format = new Intl.DateTimeFormat(locale.value, { weekday: 'short', hour: '2-digit', minute: '2-digit' });
  return (
    <Menu
      label={t('snooze')} button={<><Icon name="snoozed" size={18} /><span class="word">{t('snooze')}</span></>} disabled={busy.value}
      items={[...snoozes()].map(([key, date]) => ({ key, label: t(`snooze_${key}`), hint: format.format(date) }))}
      pick={(key) => {
        const until = snoozes().get(key);
        if (until !== undefined) void act(conversation.id, 'snooze', { until: until.toISOString() });
      }}
    />
  );
}

function Transfer({ conversation }: { conversation: Conversation }): JSX.Element {
  const queues = [...feed.value.queues.values()].filter((queue) => queue.id !== conversation.queue_id);
  const agents = [...feed.value.agents.values()].filter((agent) => agent.id !== conversation.assignee_id && agent.role !== 'bot' && !agent.disabled);
  const items = [
    ...queues.map((queue) => ({ key: `queue ${queue.id}`, label: queue.name, hint: t('queue') })),
    ...agents.map((agent) => ({ key: `agent ${agent.id}`, label: agent.name, hint: t(agent.presence ?? 'offline') })),
  ];
  return (
    <Menu
      label={t('transfer')} button={<><Icon name="move" size={18} /><span class="word">{t('transfer')}</span></>} disabled={busy.value || items.length === 0} items={items}
      pick={(key) => {
        const [kind, id] = key.split(' ');
        void (kind === 'queue' ? act(conversation.id, 'transfer', { queue_id: id }) : act(conversation.id, 'assign', { agent_id: id }));
      }}
    />
  );
}

function Actions({ conversation }: { conversation: Conversation }): JSX.Element {
  const mine = conversation.assignee_id === viewer.value.id;
  const { id, state } = conversation;
  const done = state === 'resolved';
  return (
    <div class="actions" role="toolbar" aria-label={t('actions')}>
      {!done && !mine && (
        <button type="button" class="primary" disabled={busy.value} aria-label={t('accept')} title={t('accept')} onClick={() => void act(id, 'accept')}><Icon name="check" size={18} /><span class="spare"> {t('accept')}</span></button>
      )}
      {mine && !done && (
        <button type="button" disabled={busy.value} title={t('hand_back')} onClick={() => void act(id, 'assign', { agent_id: null })}><Icon name="back" size={18} /><span class="word">{t('hand_back')}</span></button>
      )}
      {!done && <Transfer conversation={conversation} />}
      {!done && <Snooze conversation={conversation} />}
      {!done && (
        <button type="button" disabled={busy.value} title={t('resolve')} onClick={() => void act(id, 'resolve')}><Icon name="resolved" size={18} /><span class="word">{t('resolve')}</span></button>
      )}
      {done && <button type="button" class="primary" disabled={busy.value} onClick={() => void act(id, 'reopen')}>{t('reopen')}</button>}
      <button type="button" class="plain" aria-label={t('details')} title={t('details')} aria-pressed={detailsOpen.value} onClick={() => (detailsOpen.value = !detailsOpen.value)}>
        <Icon name="panel" />
      </button>
    </div>
  );
}

function Where({ conversation }: { conversation: Conversation }): JSX.Element {
  const assignee = agentName(conversation.assignee_id);
  return (
    <p class="where">
      <span>#{conversation.number}</span>
      {conversation.state === 'queued' && conversation.waiting_since ? <Wait since={conversation.waiting_since} /> : <span class={`state ${conversation.state}`}>{t(`state_${conversation.state}`)}</span>}
      {assignee !== '' && <bdi>{conversation.assignee_id === viewer.value.id ? t('you') : assignee}</bdi>}
      <bdi>{channelTitle(conversation.channel)}</bdi>
      <bdi>{queueName(conversation.queue_id)}</bdi>
    </p>
  );
}

export function ConversationPane(): JSX.Element {
  const conversation = current.value;
  if (conversation === null) {
    return (
      <main class="pane none">
        <div class="empty"><Icon name="webchat" size={44} /><p>{t('choose_one')}</p><small>{t('choose_more')}</small></div>
      </main>
    );
  }
  const name = customerName(conversation);
  return (
    <main class="pane" aria-label={name}>
      <header>
        <button type="button" class="plain leave" aria-label={t('back')} onClick={() => void choose('')}><Icon name="back" /></button>
        <Avatar name={name} seed={conversation.customer_id} />
        <div class="title"><h2 dir="auto">{name}</h2><Where conversation={conversation} /></div>
        <Actions conversation={conversation} />
      </header>
      {live.value !== 'live' && <p class="cut" role="status">{t('live_more')}</p>}
      <Thread conversation={conversation} />
      <Composer key={conversation.id} conversation={conversation} />
    </main>
  );
}
