/** Everything the inbox shows, as signals, and the live feed that keeps it true. */
import { batch, computed, signal } from '@preact/signals';

import { applyEvent, emptyState, type FeedState, type Viewer } from '../common/feed.ts';
import { LiveSocket, type LiveState } from '../common/live.ts';
import type { Agent, Channel, Conversation, Presence, Queue } from '../common/types.ts';
import { ApiError, get, getAll, send, type Page } from './api.ts';
import { t } from './texts.ts';
import { hear } from './typing.ts';

export type Phase = 'starting' | 'login' | 'ready';
/** What the list shows: a named view, or one queue as `queue:<id>`. */
export type View = 'mine' | 'waiting' | 'open' | 'snoozed' | 'resolved' | `queue:${string}`;

export const phase = signal<Phase>('starting');
export const me = signal<Agent | null>(null);
export const feed = signal<FeedState>(emptyState({ id: '', role: 'agent', queues: new Set() }));
export const live = signal<LiveState>('stopped');
export const view = signal<View>('waiting');
export const find = signal('');
export const selected = signal('');
export const notice = signal('');
/** Ticks every second, for waiting times. */
export const now = signal(Date.now());
setInterval(() => {
  now.value = Date.now();
}, 1000);

export const viewer = computed(() => feed.value.viewer);
export const current = computed<Conversation | null>(() => feed.value.conversations.get(selected.value)?.value ?? null);

const MOST = 1000;
let noticeTimer: ReturnType<typeof setTimeout> | undefined;

export function say(text: string): void {
  notice.value = text;
  clearTimeout(noticeTimer);
  noticeTimer = setTimeout(() => {
    notice.value = '';
  }, 6000);
}

/** Shows a failure; a lost session leads back to the log-in. */
export function complain(error: unknown): void {
  if (error instanceof ApiError && error.status === 401) {
    leave();
    return;
  }
  if (error instanceof ApiError && error.code === 'no_connection') say(t('no_connection'));
  else say(error instanceof Error && error.message !== '' ? error.message : t('went_wrong'));
}

export function inView(conversation: Conversation, which: View, mine: string): boolean {
  switch (which) {
    case 'mine':
      return conversation.assignee_id === mine && conversation.state === 'open';
    case 'waiting':
      return conversation.state === 'queued';
    case 'open':
      return conversation.state === 'open' || conversation.state === 'pending';
    case 'snoozed':
    case 'resolved':
      return conversation.state === which;
    default:
      return `queue:${conversation.queue_id}` === which && (conversation.state === 'queued' || conversation.state === 'open');
  }
}

export const everything = computed<readonly Conversation[]>(() => [...feed.value.conversations.values()].map((held) => held.value));

/** The list: who has waited longest first where people wait, else the newest first. */
export const listed = computed<readonly Conversation[]>(() => {
  const words = find.value.trim().toLowerCase();
  const rows = everything.value.filter((item) => {
    if (words === '') return inView(item, view.value, viewer.value.id);
    return `${item.customer_name ?? ''} #${item.number} ${item.preview ?? ''} ${item.identity.value}`.toLowerCase().includes(words);
  });
  const byWait = view.value === 'waiting' && words === '';
  return rows.sort((a, b) =>
    byWait ? Date.parse(a.waiting_since ?? a.updated_at) - Date.parse(b.waiting_since ?? b.updated_at) : Date.parse(b.updated_at) - Date.parse(a.updated_at),
  );
});

const socket = new LiveSocket({
  url: () => `${location.origin.replace(/^http/u, 'ws')}/api/v1/feed?after=${feed.value.pos}`,
  frame: (frame) => {
    if (frame['type'] === 'hello') socket.healthy();
    feed.value = applyEvent(feed.value, frame);
    hear(frame);
    const own = feed.value.agents.get(viewer.value.id);
    if (own !== undefined) me.value = own;
    if (feed.value.resync !== '') {
      socket.stop();
      void load();
    }
  },
  state: (state) => {
    live.value = state;
  },
  closed: (code) => {
    if (code === 4401) {
      leave();
      return 'stop';
    }
    // A refused upgrade shows only as a failed connection: ask plainly whether the session still holds.
    if (live.value !== 'live') void get('/me').catch((error: unknown) => error instanceof ApiError && error.status === 401 && leave());
    return 'retry';
  },
});

function indexed<T extends { id: string }>(items: readonly T[]): ReadonlyMap<string, T> {
  return new Map(items.map((item) => [item.id, item]));
}

/** Fetches the snapshot and follows the feed from its position. */
export async function load(): Promise<void> {
  try {
    const who = await get<{ agent: Agent; queues: string[] }>('/me');
    const [conversations, agents, queues, channels] = await Promise.all([
      getAll<Conversation>('/conversations', { state: 'queued,open,pending,snoozed', limit: 200 }, MOST),
      getAll<Agent>('/agents', {}, MOST),
      getAll<Queue>('/queues', {}, MOST),
      get<Page<Channel>>('/channels').catch(() => ({ items: [] as Channel[], as_of_pos: Number.POSITIVE_INFINITY })),
    ]);
    const asOf = conversations.as_of_pos;
    const seen: Viewer = { id: who.agent.id, role: who.agent.role, queues: new Set(who.queues) };
    const held = new Map(conversations.items.map((item) => [item.id, { value: item, pos: asOf }]));
    batch(() => {
      // The oldest of the positions: what is replayed twice changes nothing.
      const pos = Math.min(asOf, agents.as_of_pos ?? asOf, queues.as_of_pos ?? asOf);
      feed.value = {
        ...emptyState(seen), pos: Number.isFinite(pos) ? pos : 0, conversations: held,
        agents: indexed(agents.items), queues: indexed(queues.items), channels: indexed(channels.items),
      };
      me.value = who.agent;
      phase.value = 'ready';
    });
    socket.start();
  } catch (error) {
    if (error instanceof ApiError && error.status === 401) phase.value = 'login';
    else {
      complain(error);
      setTimeout(() => void load(), 3000);
    }
  }
}

/** Resolved conversations are fetched when they are asked for. */
export async function loadResolved(): Promise<void> {
  const page = await get<Page<Conversation>>('/conversations', { state: 'resolved', limit: 100 });
  const conversations = new Map(feed.value.conversations);
  for (const item of page.items) {
    const held = conversations.get(item.id);
    if (held === undefined || held.pos < page.as_of_pos) conversations.set(item.id, { value: item, pos: page.as_of_pos });
  }
  feed.value = { ...feed.value, conversations };
}

export async function setPresence(presence: Presence): Promise<void> {
  try {
    me.value = (await send<{ agent: Agent }>('PATCH', '/me', { presence })).agent;
  } catch (error) {
    complain(error);
  }
}

/** The session is over, here at least. */
export function leave(): void {
  socket.stop();
  batch(() => {
    phase.value = 'login';
    me.value = null;
    selected.value = '';
    feed.value = emptyState({ id: '', role: 'agent', queues: new Set() });
  });
}

export async function logOut(): Promise<void> {
  await send('DELETE', '/sessions').catch(() => undefined);
  leave();
}
