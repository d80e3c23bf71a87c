/** The built-in Telegram simulator as seen from a shopper's phone: its control interface, followed by long polling. */
import { signal } from '@preact/signals';

import { pickLocale } from '../common/i18n.ts';

/** For times; the page itself speaks English. */
export const LOCALE = pickLocale('en', navigator.languages);

const BASE = '/sim/telegram/control';

export interface Button { text: string; callback_data?: string; request_contact?: boolean; url?: string }
export interface ChatMessage {
  message_id: number;
  from_bot: boolean;
  /** Seconds since 1970. */
  date: number;
  text?: string;
  caption?: string;
  photo?: boolean;
  video?: boolean;
  audio?: boolean;
  voice?: boolean;
  document?: boolean;
  sticker?: boolean;
  emoji?: string;
  file_id?: string;
  file_name?: string;
  location?: { latitude: number; longitude: number };
  contact?: { phone_number: string; first_name?: string };
  reply_markup?: { inline_keyboard?: Button[][]; keyboard?: Button[][] };
  reply_to_message_id?: number;
  edited?: boolean;
  deleted?: boolean;
  reactions?: Record<string, string[]>;
}
export interface User { id: number; first_name: string; last_name?: string; language_code?: string }
export interface Chat { chat_id: number; user: User; blocked?: boolean; messages: ChatMessage[] }
interface Snapshot { bots: { first_name?: string; username?: string }[]; chats: Chat[]; pos?: number }

export const chats = signal<readonly Chat[]>([]);
export const bot = signal('Bottega Sportello');
export const chosen = signal(0);
export const problem = signal('');
export const connected = signal(false);
/** Pictures that this phone sent itself, by message id within the chat: `chat/message`. */
export const ownPictures = signal<ReadonlyMap<string, string>>(new Map());

async function answerOf<T>(request: Promise<Response>): Promise<T> {
  const response = await request;
  const body: unknown = await response.json().catch(() => null);
  if (response.ok) return body as T;
  const told = typeof body === 'object' && body !== null ? (body as { detail?: unknown; description?: unknown; error?: unknown }) : {};
  throw new Error(String(told.detail ?? told.description ?? told.error ?? `The simulator answered ${response.status}.`));
}

async function post<T>(path: string, body: object): Promise<T> {
  return answerOf<T>(fetch(BASE + path, { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(body) }));
}

async function refresh(): Promise<number> {
  const state = await answerOf<Snapshot>(fetch(`${BASE}/state`));
  chats.value = state.chats;
  bot.value = state.bots[0]?.first_name ?? bot.value;
  const known = state.chats.some((chat) => chat.chat_id === chosen.value);
  if (!known) chosen.value = state.chats[state.chats.length - 1]?.chat_id ?? 0;
  return state.pos ?? -1;
}

/** Follows the simulator for ever. An event only says that something changed; the state says what. */
export async function follow(): Promise<void> {
  for (;;) {
    try {
      let pos = await refresh();
      connected.value = true;
      for (;;) {
        const after = Math.max(0, pos);
        const news = await answerOf<{ pos: number; items: unknown[] }>(fetch(`${BASE}/events?after=${after}`));
        if (news.pos < after) break; // the simulator was started anew
        if (news.items.length > 0 || pos < 0) await refresh();
        pos = news.pos;
      }
    } catch {
      connected.value = false;
      await new Promise((resolve) => setTimeout(resolve, 1500));
    }
  }
}

async function attempt(work: () => Promise<unknown>): Promise<boolean> {
  problem.value = '';
  try {
    await work();
    await refresh();
    return true;
  } catch (error) {
    problem.value = error instanceof Error ? error.message : 'It did not work.';
    return false;
  }
}

export function addUser(first: string, last: string, language: string): Promise<boolean> {
  return attempt(async () => {
    const body = { first_name: first, ...(last === '' ? {} : { last_name: last }), language_code: language };
    const made = await post<{ user_id: number }>('/users', body);
    await refresh();
    chosen.value = made.user_id;
  });
}

export function write(user: number, content: object, replyTo: number): Promise<boolean> {
  return attempt(() => post(`/users/${user}/message`, replyTo > 0 ? { ...content, reply_to_message_id: replyTo } : content));
}

/** `data` is base64 of a picture. */
export function sendPhoto(user: number, data: string, mime: string, caption: string): Promise<boolean> {
  return attempt(async () => {
    const body = caption === '' ? { photo: data } : { photo: data, caption };
    const made = await post<{ message_id?: number }>(`/users/${user}/message`, body);
    if (made.message_id !== undefined) {
      ownPictures.value = new Map(ownPictures.value).set(`${user}/${made.message_id}`, `data:${mime};base64,${data}`);
    }
  });
}

export function edit(user: number, message: number, text: string): Promise<boolean> {
  return attempt(() => post(`/users/${user}/edit`, { message_id: message, text }));
}

export function press(user: number, message: number, data: string): Promise<boolean> {
  return attempt(() => post(`/users/${user}/press`, { message_id: message, data }));
}

export function react(user: number, message: number, emoji: string): Promise<boolean> {
  return attempt(() => post(`/users/${user}/react`, { message_id: message, emoji }));
}

export function block(user: number, blocked: boolean): Promise<boolean> {
  return attempt(() => post(`/users/${user}/${blocked ? 'block' : 'unblock'}`, {}));
}

export function fileUrl(id: string): string {
  return `${BASE}/file/${encodeURIComponent(id)}`;
}
