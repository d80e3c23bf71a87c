/** The visitor's conversation: session, line to the gateway, own outbox, signals for the view. */
import { signal } from '@preact/signals';

import { uuid } from '../shared/ids.ts';
import { LiveSocket, pause, type AfterClose, type LiveState } from '../shared/live.ts';
import type { VisitorMessage } from '../shared/types.ts';
import { acknowledge, enqueue, lastPos, mark, receive, receiveAll, resumeAfter, type Chat, type Pending } from '../shared/visitor.ts';
import { Keep, type Settings } from './settings.ts';

const OUTBOX = 'out:';
const TOKEN = 'token';
/** One id counts as one message to the server, however often it is sent; unanswered ones go again after this long. */
const RESEND = 15_000;

type Frame = Readonly<Record<string, unknown>>;

export class VisitorChat {
  readonly chat = signal<Chat>({ messages: [], pending: [] });
  readonly live = signal<LiveState>('stopped');
  readonly unread = signal(0);
  readonly title = signal('');
  /** The shop's own greeting; empty: ours. */
  readonly greeting = signal('');
  /** Key of a text to show above the composer; empty if all is well. */
  readonly problem = signal('');
  readonly open = signal(false);

  #settings: Settings;
  #keep: Keep;
  #socket: LiveSocket;
  #token: string | null;
  #fresh = false;
  #ready = false;
  #starting = false;
  #sessionTries = 0;
  #seen = 0;

  constructor(settings: Settings) {
    this.#settings = settings;
    this.#keep = new Keep(settings);
    this.#token = this.#keep.get(TOKEN);
    this.#socket = new LiveSocket({
      url: () => this.#url(),
      opened: (send) => {
        this.#ready = false;
        const after = resumeAfter(this.chat.value);
        send(after > 0 ? { type: 'hello', token: this.#token, after } : { type: 'hello', token: this.#token });
      },
      frame: (frame) => this.#frame(frame),
      state: (state) => {
        if (state !== 'live') this.#ready = false;
        this.live.value = state;
      },
      closed: (code) => this.#closed(code),
    });
    this.#restore();
    addEventListener('storage', (event) => this.#stored(event));
    document.addEventListener('visibilitychange', () => this.markSeen());
    setInterval(() => this.#flush(false), RESEND);
    // A visitor who has talked to us gets news at once; for others nothing is stored or sent before they open the chat.
    if (this.#token !== null) this.#socket.start();
  }

  show(): void {
    this.open.value = true;
    this.unread.value = 0;
    if (this.#token === null) void this.#begin();
    else this.#socket.start();
    this.markSeen();
  }

  hide(): void {
    this.open.value = false;
  }

  say(text: string): void {
    this.#post({ id: uuid(), at: Date.now(), text, state: 'sending', pos: 0 });
  }

  choose(option: string, label: string): void {
    this.#post({ id: uuid(), at: Date.now(), text: label, option, state: 'sending', pos: 0 });
  }

  retry(id: string): void {
    this.problem.value = '';
    this.chat.value = mark(this.chat.value, id, 'sending');
    this.#flush(true);
  }

  markSeen(): void {
    if (!this.open.value || document.visibilityState === 'hidden' || !this.#ready) return;
    this.unread.value = 0;
    const pos = lastPos(this.chat.value);
    if (pos > this.#seen && this.#socket.send({ type: 'seen', pos, read: true })) {
      this.#seen = pos;
      this.#keep.set('seen', String(pos));
    }
  }

  #url(): string {
    const after = resumeAfter(this.chat.value);
    const base = `${this.#settings.origin.replace(/^http/u, 'ws')}/chat/v1/${this.#settings.channel}/socket`;
    return after > 0 ? `${base}?after=${after}` : base;
  }

  /** A session of our own, or the one that another tab has just made. */
  async #begin(): Promise<void> {
    if (this.#starting) return;
    this.#starting = true;
    this.live.value = 'connecting';
    try {
      await (navigator.locks ? navigator.locks.request(`${this.#keep.prefix}begin`, () => this.#session()) : this.#session());
      this.#sessionTries = 0;
      this.#socket.start();
    } catch (error) {
      if (error instanceof Refused) {
        this.problem.value = 'blocked';
        this.live.value = 'stopped';
      } else {
        this.live.value = 'waiting';
        const wait = pause(this.#sessionTries++, Math.random());
        setTimeout(() => void this.#begin(), wait);
      }
    } finally {
      this.#starting = false;
    }
  }

  async #session(): Promise<void> {
    this.#token = this.#keep.get(TOKEN);
    if (this.#token !== null) return;
    const answer = await fetch(`${this.#settings.origin}/chat/v1/${this.#settings.channel}/sessions`, {
      method: 'POST',
      credentials: 'omit',
      headers: { 'Content-Type': 'application/json' },
      body: '{}',
    });
    if (answer.status === 403 || answer.status === 404) throw new Refused();
    if (!answer.ok) throw new Error(`sessions answered ${answer.status}`);
    const body = (await answer.json()) as { token?: unknown; title?: unknown; texts?: { greeting?: unknown } };
    if (typeof body.token !== 'string') throw new Error('no token');
    this.#token = body.token;
    this.#keep.set(TOKEN, body.token);
    if (typeof body.title === 'string') this.#keep.set('title', body.title);
    const greeting = body.texts?.greeting;
    if (typeof greeting === 'string') this.#keep.set('greeting', greeting);
    this.#words();
    this.#fresh = true;
  }

  #closed(code: number): AfterClose {
    if (code === 1008) {
      this.problem.value = 'slow_down';
      return 'slow';
    }
    if (code === 1009) {
      // The oldest line on its way was the one that was too big.
      for (const line of this.chat.value.pending) {
        if (line.state === 'sending') {
          this.chat.value = mark(this.chat.value, line.id, 'failed');
          break;
        }
      }
      return 'retry';
    }
    if (code !== 4401) return 'retry';
    this.#keep.remove(TOKEN);
    this.#token = null;
    // What an old session showed does not belong to the new one; what waits to be sent does.
    this.chat.value = { messages: [], pending: this.chat.value.pending };
    this.#seen = 0;
    setTimeout(() => void this.#begin(), pause(this.#sessionTries++, Math.random()));
    return 'stop';
  }

  #frame(frame: Frame): void {
    switch (frame['type']) {
      case 'hello':
        this.#hello(frame);
        break;
      case 'history':
        if (Array.isArray(frame['items'])) this.chat.value = receiveAll(this.chat.value, frame['items'] as VisitorMessage[]);
        this.#flush(true);
        this.markSeen();
        break;
      case 'message':
      case 'changed':
        this.#message(frame as unknown as VisitorMessage, frame['type'] === 'message');
        break;
      case 'ack':
        this.#acked(String(frame['id'] ?? ''), typeof frame['pos'] === 'number' ? frame['pos'] : 0);
        break;
      case 'error':
        this.#failed(frame);
        break;
    }
  }

  #hello(frame: Frame): void {
    this.#ready = true;
    this.problem.value = '';
    this.#socket.healthy();
    if (typeof frame['unread'] === 'number' && !this.open.value) this.unread.value = frame['unread'];
    if (this.#fresh) {
      this.#fresh = false;
      // The path tells where the chat began; a query may hold what is nobody's business.
      this.#socket.send({ type: 'start', id: uuid(), page: location.origin + location.pathname });
    }
    this.#flush(true);
  }

  #message(message: VisitorMessage, isNew: boolean): void {
    if (typeof message.id !== 'string' || typeof message.pos !== 'number' || !Array.isArray(message.parts)) return;
    let known = false;
    for (const item of this.chat.value.messages) if (item.id === message.id) known = true;
    this.chat.value = receive(this.chat.value, message);
    if (isNew && !known && !message.mine) {
      if (this.open.value && document.visibilityState !== 'hidden') this.markSeen();
      else this.unread.value += 1;
    }
  }

  #acked(id: string, pos: number): void {
    this.#keep.remove(OUTBOX + id);
    this.problem.value = '';
    this.chat.value = acknowledge(this.chat.value, id, pos);
  }

  #failed(frame: Frame): void {
    const code = String(frame['code'] ?? '');
    this.problem.value = code === 'too_long' ? 'too_long' : code === 'rate_limited' ? 'slow_down' : '';
    // A busy gateway gets the line again by itself.
    if (typeof frame['id'] !== 'string' || code === 'unavailable' || code === 'rate_limited') return;
    this.chat.value = mark(this.chat.value, frame['id'], 'failed');
  }

  #post(line: Pending): void {
    const stored = line.option === undefined ? { at: line.at, text: line.text } : { at: line.at, text: line.text, option: line.option };
    this.#keep.set(OUTBOX + line.id, JSON.stringify(stored));
    this.chat.value = enqueue(this.chat.value, line);
    if (this.#ready) this.#send(line);
  }

  #send(line: Pending): void {
    this.#socket.send(
      line.option === undefined
        ? { type: 'message', id: line.id, text: line.text }
        : { type: 'chosen', id: line.id, option: line.option, label: line.text },
    );
  }

  /** Sends what the server has not acknowledged, oldest first; the young ones only if `all`. */
  #flush(all: boolean): void {
    if (!this.#ready) return;
    const young = Date.now() - RESEND;
    for (const line of this.chat.value.pending) {
      if (line.state === 'sending' && (all || line.at < young)) this.#send(line);
    }
  }

  #restore(): void {
    for (const key of this.#keep.keys(OUTBOX)) this.#adopt(key.slice(OUTBOX.length), this.#keep.get(key));
    this.#seen = Number(this.#keep.get('seen')) || 0;
    this.#words();
  }

  /** What the shop calls itself: the script tag goes before the gateway's settings. */
  #words(): void {
    this.title.value = this.#settings.title || (this.#keep.get('title') ?? '');
    this.greeting.value = this.#keep.get('greeting') ?? '';
  }

  #adopt(id: string, stored: string | null): void {
    try {
      const value = JSON.parse(stored ?? '') as { at?: unknown; text?: unknown; option?: unknown };
      if (typeof value.at !== 'number' || typeof value.text !== 'string') return;
      const line: Pending = { id, at: value.at, text: value.text, state: 'sending', pos: 0 };
      this.chat.value = enqueue(this.chat.value, typeof value.option === 'string' ? { ...line, option: value.option } : line);
    } catch {
      this.#keep.remove(OUTBOX + id);
    }
  }

  /** Other tabs of the same visitor: their lines appear here, and what was read there is read here. */
  #stored(event: StorageEvent): void {
    const key = event.key ?? '';
    if (!key.startsWith(this.#keep.prefix)) return;
    const name = key.slice(this.#keep.prefix.length);
    if (name === TOKEN && event.newValue !== null && this.#token === null) {
      this.#token = event.newValue;
      this.#socket.start();
    } else if (name === 'seen' && Number(event.newValue) >= lastPos(this.chat.value)) {
      this.unread.value = 0;
    } else if (name.startsWith(OUTBOX) && event.newValue !== null) {
      this.#adopt(name.slice(OUTBOX.length), event.newValue);
    } else if (name.startsWith(OUTBOX) && event.newValue === null) {
      this.chat.value = acknowledge(this.chat.value, name.slice(OUTBOX.length), 0);
    }
  }
}

/** The gateway does not serve this page; trying again would not help. */
class Refused extends Error {}
