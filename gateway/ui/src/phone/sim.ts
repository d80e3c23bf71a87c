/** A simulated provider as seen from the shoppers' phones: what the page knows of it, whichever provider it is. */
import { signal, type Signal } from '@preact/signals';

import { pickLocale } from '../common/i18n.ts';

/** For times; the page itself speaks English. */
export const LOCALE = pickLocale('en', navigator.languages);

export interface Person {
  id: string;
  name: string;
  language: string;
  /** False: this phone has no network. */
  online: boolean;
  blocked: boolean;
}
export interface SimFile { id: string; mime: string; name?: string; size?: number }
export interface Option { id: string; label: string; description?: string }
export interface Line {
  id: string;
  person: string;
  from_shop: boolean;
  /** Seconds since 1970. */
  at: number;
  text?: string;
  subject?: string;
  files?: readonly SimFile[];
  location?: { latitude: number; longitude: number; name?: string };
  contact?: { name: string; phone: string };
  sticker?: string;
  options?: readonly Option[];
  reply_to?: string;
  /** A comment below this post, which everybody reads. */
  post?: string;
  status?: string;
  edited?: boolean;
  deleted?: boolean;
  reactions?: Readonly<Record<string, string>>;
}
export interface NewFile { data: string; mime: string; name?: string }
export interface NewLine {
  text?: string;
  files?: readonly NewFile[];
  location?: { latitude: number; longitude: number };
  contact?: { name: string; phone: string };
  sticker?: string;
  subject?: string;
  reply_to?: string;
  post?: string;
}
/** What a person can do on this channel. */
export type Feature = 'files' | 'edit' | 'delete' | 'react' | 'read' | 'press' | 'location' | 'contact' | 'sticker' | 'comment' | 'subject' | 'network' | 'block';

export interface Phones { people: readonly Person[]; lines: readonly Line[]; features: ReadonlySet<string> }

/** One channel on the phone. Every action throws an Error whose message is for people. */
export interface Sim {
  kind: string;
  title: string;
  phones: Signal<Phones>;
  connected: Signal<boolean>;
  /** Until told to stop. Only one at a time: a browser opens six connections to a server, and each of these holds one. */
  follow(stop: AbortSignal): Promise<void>;
  /** The new person's id. */
  addPerson(name: string, language: string): Promise<string>;
  write(person: string, line: NewLine): Promise<void>;
  edit(person: string, line: string, text: string): Promise<void>;
  remove(person: string, line: string): Promise<void>;
  react(person: string, line: string, emoji: string): Promise<void>;
  press(person: string, line: string, option: string): Promise<void>;
  read(person: string): Promise<void>;
  network(person: string, online: boolean): Promise<void>;
  block(person: string, blocked: boolean): Promise<void>;
  fileUrl(file: string): string;
}

export const problem = signal('');

/** Runs an action of a sim; what goes wrong is shown. True if it worked. */
export async function attempt(work: () => Promise<unknown>): Promise<boolean> {
  problem.value = '';
  try {
    await work();
    return true;
  } catch (error) {
    problem.value = error instanceof Error ? error.message : 'It did not work.';
    return false;
  }
}

export async function answerOf<T>(request: Promise<Response>): Promise<T> {
  const response = await request;
  const body: unknown = await response.json().catch(() => null);
  if (response.ok) return body as T;
  const told = typeof body === 'object' && body !== null ? (body as { detail?: unknown; description?: unknown }) : {};
  throw new Error(String(told.detail ?? told.description ?? `The simulator answered ${response.status}.`));
}

export function post<T>(url: string, body: object): Promise<T> {
  return answerOf<T>(fetch(url, { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(body) }));
}

/** Follows a simulator: an event only says that something changed, `refresh` says what and where the events stand. */
export async function followEvents(base: string, connected: Signal<boolean>, refresh: () => Promise<number>, stop: AbortSignal): Promise<void> {
  while (!stop.aborted) {
    try {
      let pos = await refresh();
      connected.value = true;
      while (!stop.aborted) {
        const after = Math.max(0, pos);
        const news = await answerOf<{ pos: number; items: unknown[] }>(fetch(`${base}/events?after=${after}`, { signal: stop }));
        if (news.pos < after) break; // the simulator was started anew
        if (news.items.length > 0 || pos < 0) await refresh();
        pos = news.pos;
      }
    } catch {
      if (stop.aborted) return;
      connected.value = false;
      await new Promise((resolve) => setTimeout(resolve, 1500));
    }
  }
}
