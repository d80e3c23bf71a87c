/** Who the visitor is for the gateway: a token, got once and kept, of a stranger or of a user whom the shop has named. */
import { signal } from '@preact/signals';

import type { Keep, Settings } from './settings.ts';

export const TOKEN = 'token';
export const CONSENT = 'consent';
/** Set when the token is that of a user whom the shop has named. */
const NAMED = 'named';

/** The gateway does not serve this page; trying again would not help. */
export class Refused extends Error {}

export class Session {
  readonly title = signal('');
  /** The shop's own greeting; empty: ours. */
  readonly greeting = signal('');
  /** `https://gateway/chat/v1/<channel>` */
  readonly base: string;
  token: string | null = null;
  /** Is the token new, so that nobody has heard of this visitor yet? */
  fresh = false;
  jwt: string;
  #settings: Settings;
  #keep: Keep;

  constructor(settings: Settings, keep: Keep) {
    this.#settings = settings;
    this.#keep = keep;
    this.base = `${settings.origin}/chat/v1/${settings.channel}`;
    this.jwt = settings.jwt;
  }

  /** What this browser remembers. */
  restore(): void {
    this.token = this.#keep.get(TOKEN);
    // The script tag goes before the gateway's settings.
    this.title.value = this.#settings.title || (this.#keep.get('title') ?? '');
    this.greeting.value = this.#keep.get('greeting') ?? '';
  }

  /** A session of our own, or the one that another tab has just made. Throws Refused, or what may pass. */
  async begin(): Promise<void> {
    await (navigator.locks ? navigator.locks.request(`${this.#keep.prefix}begin`, () => this.#begin()) : this.#begin());
  }

  /** The shop's server says who this is. True if there is a new token now. */
  async identify(jwt: string): Promise<boolean> {
    this.jwt = jwt;
    if (this.token === null || this.#keep.get(NAMED) !== null) return false;
    try {
      const answer = await this.#post('identify', { jwt }, { Authorization: `Bearer ${this.token}` });
      if (answer.ok) this.#admit(await answer.json(), true);
      else console.warn(`sportello: the signed user was not accepted (${answer.status})`);
      return answer.ok;
    } catch {
      console.warn('sportello: the signed user could not be checked now');
      return false;
    }
  }

  /** A request of this visitor's. */
  ask(path: string, body: object): Promise<Response> {
    return this.#post(path, body, { Authorization: `Bearer ${this.token}` });
  }

  /** The token is worth nothing any more. */
  drop(): void {
    this.#keep.remove(TOKEN);
    this.#keep.remove(NAMED);
    this.token = null;
  }

  /** Nothing stays in this browser but that the visitor has agreed. */
  forget(): void {
    for (const key of this.#keep.keys('')) if (key !== CONSENT) this.#keep.remove(key);
    this.token = null;
    this.fresh = false;
    this.jwt = '';
  }

  async #begin(): Promise<void> {
    this.token = this.#keep.get(TOKEN);
    if (this.token !== null) return;
    const { jwt } = this;
    const answer = await this.#post('sessions', jwt === '' ? {} : { jwt });
    if (answer.status === 403 || answer.status === 404) throw new Refused();
    // The shop's word may have become too old while the page lay open: then a stranger is served.
    if (answer.status === 401) this.jwt = '';
    if (!answer.ok) throw new Error(`sessions answered ${answer.status}`);
    this.#admit(await answer.json(), jwt !== '');
    this.fresh = true;
  }

  #admit(answer: unknown, named: boolean): void {
    const body = answer as { token?: unknown; title?: unknown; texts?: { greeting?: unknown } };
    if (typeof body.token !== 'string') throw new Error('no token');
    const greeting = body.texts?.greeting;
    if (named) this.#keep.set(NAMED, '1');
    if (typeof body.title === 'string') this.#keep.set('title', body.title);
    if (typeof greeting === 'string') this.#keep.set('greeting', greeting);
    this.#keep.set(TOKEN, body.token);
    this.restore();
  }

  #post(path: string, body: object, headers: Record<string, string> = {}): Promise<Response> {
    const type = { 'Content-Type': 'application/json' };
    return fetch(`${this.base}/${path}`, { method: 'POST', credentials: 'omit', headers: { ...type, ...headers }, body: JSON.stringify(body) });
  }
}
