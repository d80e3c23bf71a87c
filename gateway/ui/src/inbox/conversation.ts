/** The open conversation: its thread, what the agent is writing, and the actions on it. */
import { batch, signal } from '@preact/signals';

import { fillThread, openThread, putConversation, putOwnMessage, type Person } from '../common/feed.ts';
import { uuid } from '../common/ids.ts';
import type { Conversation, Customer, Decision, KnownIdentity, Message, Part } from '../common/types.ts';
import { ApiError, get, send, upload, type Page } from './api.ts';
import type { Outgoing } from './outgoing.ts';
import { complain, feed, selected, viewer } from './store.ts';
import { t } from './texts.ts';

const PAGE = 50;

export const outgoing = signal<readonly Outgoing[]>([]);
export const others = signal<{ customer: string; items: readonly Conversation[] }>({ customer: '', items: [] });
export const busy = signal(false);

// --- drafts: kept per conversation, also over a reload of the tab ---

export function draftOf(conversation: string): string {
  try {
    return sessionStorage.getItem(`sportello:draft:${conversation}`) ?? '';
  } catch {
    return '';
  }
}

export function keepDraft(conversation: string, text: string): void {
  try {
    if (text === '') sessionStorage.removeItem(`sportello:draft:${conversation}`);
    else sessionStorage.setItem(`sportello:draft:${conversation}`, text);
  } catch {
    /* the field itself still holds it */
  }
}

// --- reading ---

/** Opens a conversation; the panes fetch what they show. */
export async function choose(id: string): Promise<void> {
  selected.value = id;
  if (id === '') return;
  try {
    const held = feed.value.conversations.get(id);
    if (held === undefined) {
      const answer = await get<{ conversation: Conversation; as_of_pos: number }>(`/conversations/${id}`);
      feed.value = putConversation(feed.value, answer.conversation, answer.as_of_pos);
    }
  } catch (error) {
    complain(error);
  }
}

/** The newest lines of a conversation, and why it went where it is. */
export async function loadThread(id: string): Promise<void> {
  feed.value = openThread(feed.value, id);
  const [page] = await Promise.all([get<Page<Message>>(`/conversations/${id}/messages`, { limit: PAGE }), loadDecisions(id)]);
  if (feed.value.threads.has(id)) return; // asked twice
  // Everything was fetched anew meanwhile: what came after this snapshot may be gone.
  if (!feed.value.opening.has(id)) return loadThread(id);
  feed.value = fillThread(feed.value, id, { items: page.items, asOf: page.as_of_pos, more: page.more ?? false });
}

export async function loadEarlier(id: string): Promise<void> {
  const thread = feed.value.threads.get(id);
  const first = thread?.items[0];
  if (thread === undefined || first === undefined || !thread.more) return;
  const page = await get<Page<Message>>(`/conversations/${id}/messages`, { before: first.pos, limit: PAGE });
  const now = feed.value.threads.get(id);
  if (now === undefined || now.items[0]?.id !== first.id) return; // asked twice
  const threads = new Map(feed.value.threads).set(id, { ...now, items: [...page.items, ...now.items], more: page.more ?? false });
  feed.value = { ...feed.value, threads };
}

async function loadDecisions(id: string): Promise<void> {
  const page = await get<Page<Decision>>(`/conversations/${id}/routing`);
  const newestFirst = [...page.items].sort((a, b) => Date.parse(b.at) - Date.parse(a.at));
  feed.value = { ...feed.value, decisions: new Map(feed.value.decisions).set(id, newestFirst) };
}

export async function loadPerson(id: string): Promise<void> {
  if (id === '') return;
  const answer = await get<{ customer: Customer; identities: KnownIdentity[]; conversations: Conversation[] }>(`/customers/${id}`);
  const person: Person = { customer: answer.customer, identities: answer.identities };
  feed.value = { ...feed.value, people: new Map(feed.value.people).set(id, person) };
  others.value = { customer: id, items: answer.conversations };
}

/** Tells the gateway that an agent has seen the newest message: the agent it belongs to, or anybody while it is nobody's. */
export async function markRead(conversation: Conversation): Promise<void> {
  const last = conversation.last_pos ?? 0;
  const assignee = conversation.assignee_id ?? '';
  if (last <= (conversation.seen_pos ?? 0) || document.visibilityState === 'hidden') return;
  if (assignee !== '' && assignee !== viewer.value.id) return;
  await send('POST', `/conversations/${conversation.id}/read`, { pos: last }).catch(() => undefined);
}

// --- acting ---

export async function act(id: string, action: string, body: object = {}): Promise<boolean> {
  busy.value = true;
  try {
    const answer = await send<{ conversation: Conversation }>('POST', `/conversations/${id}/${action}`, body);
    // Shown at once, yet any event of the feed may still replace it.
    const pos = feed.value.conversations.get(id)?.pos ?? 0;
    feed.value = putConversation(feed.value, answer.conversation, pos);
    return true;
  } catch (error) {
    complain(error);
    return false;
  } finally {
    busy.value = false;
  }
}

function setOutgoing(key: string, change: Partial<Outgoing> | null): void {
  outgoing.value = outgoing.value.flatMap((item) => (item.key !== key ? [item] : change === null ? [] : [{ ...item, ...change }]));
}

/** Takes a reply out of the list, to be edited or forgotten. */
export function takeBack(key: string): void {
  setOutgoing(key, null);
}

/** `guarded`: only if nothing newer has arrived than what the agent can see. */
export async function deliver(item: Outgoing, guarded: boolean): Promise<void> {
  setOutgoing(item.key, { state: 'sending', problem: '' });
  const content = item.parts.length > 0 ? { parts: item.parts } : { text: item.text };
  const place = { ...(item.public ? { public: true } : {}), ...(item.replyTo === undefined ? {} : { reply_to: item.replyTo }) };
  const body = { ...content, ...place, ...(item.note ? { note: true } : {}), ...(guarded && !item.note && item.seen > 0 ? { if_last_pos: item.seen } : {}) };
  try {
    // A guarded and an unguarded try are different requests, so each has its own key; a repetition of either is harmless.
    const key = guarded ? item.key : `${item.key}-anyway`;
    const answer = await send<{ message: Message }>('POST', `/conversations/${item.conversation}/messages`, body, key);
    batch(() => {
      feed.value = putOwnMessage(feed.value, answer.message);
      setOutgoing(item.key, null);
    });
  } catch (error) {
    if (error instanceof ApiError && error.status === 401) complain(error);
    const stale = error instanceof ApiError && error.code === 'stale';
    const problem = error instanceof ApiError && error.code !== 'no_connection' ? error.message : t('no_connection');
    setOutgoing(item.key, { state: stale ? 'stale' : 'failed', problem: stale ? t('stale') : problem });
  }
}

function seenUpTo(conversation: string): number {
  const items = feed.value.threads.get(conversation)?.items ?? [];
  return items.reduce((most, message) => Math.max(most, message.pos), 0);
}

export function write(conversation: string, text: string, note: boolean, more: Partial<Pick<Outgoing, 'parts' | 'public' | 'replyTo'>> = {}): void {
  const item: Outgoing = { key: uuid(), conversation, text, parts: [], ...more, note, seen: seenUpTo(conversation), state: 'sending', problem: '' };
  outgoing.value = [...outgoing.value, item];
  void deliver(item, true);
}

export async function sendFile(conversation: string, file: File): Promise<void> {
  busy.value = true;
  try {
    const stored = await upload(file);
    const kind = stored.mime.startsWith('image/') ? 'image' : 'file';
    const part: Part = { type: 'media', kind, ref: stored.id, mime: stored.mime, name: stored.name, size: stored.size };
    const item: Outgoing = { key: uuid(), conversation, text: file.name, parts: [part], note: false, seen: seenUpTo(conversation), state: 'sending', problem: '' };
    outgoing.value = [...outgoing.value, item];
    await deliver(item, true);
  } catch (error) {
    complain(error);
  } finally {
    busy.value = false;
  }
}
