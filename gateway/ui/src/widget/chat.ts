/** The visitor's conversation: session, line to the gateway, own outbox, signals for the view. */
import { signal } from '@preact/signals';

import { uuid } from '../common/ids.ts';
import { LiveSocket, pause, type AfterClose, type LiveState } from '../common/live.ts';
import type { VisitorMessage } from '../common/types.ts';
import { acknowledge, enqueue, lastPos, mark, receive, receiveAll, resumeAfter, type Chat, type Pending } from '../common/visitor.ts';
import { eitherWay } from './line.ts';
import { CONSENT, Refused, Session, TOKEN } from './session.ts';
import { cameFrom, Keep, pageNow, type Settings } from './settings.ts';
import { Uploads } from './uploads.ts';
import { waysOf, type Way } from './way.ts';

const OUTBOX = 'out:';
/** One id counts as one message to the server, however often it is sent; unanswered ones go again after this long. */
const RESEND = 15_000;
/** How often to say that somebody types, and how long it is shown. */
const TYPING_PAUSE = 3_000;
const TYPING_SHOWN = 6_000;
/** Links to files are good for five minutes at least. */
const LINK_LIFE = 240_000;

type Frame = Readonly<Record<string, unknown>>;

export class VisitorChat {
  readonly chat = signal<Chat>({ messages: [], pending: [] });
  readonly live = signal<LiveState>('stopped');
  readonly unread = signal(0);
  /** Key of a text to show above the composer; empty if all is well. */
  readonly problem = signal('');
  readonly open = signal(false);
  /** Name of the agent who is typing; empty if nobody is. */
  readonly typing = signal('');
  /** Where answers go when the visitor has gone; empty: not said yet; null: this chat does not go on by mail. */
  readonly mail = signal<string | null>(null);
  /** Where else this chat can go on. */
  readonly ways = signal<readonly Way[]>([]);
  /** May anything be stored? */
  readonly agreed = signal(false);
  readonly uploads: Uploads;
  readonly session: Session;

  #keep: Keep;
  #language: string;
  #socket: LiveSocket;
  #ready = false;
  #starting = false;
  #sessionTries = 0;
  #seen = 0;
  #typedAt = 0;
  #mailKey = '';
  #typingTimer: ReturnType<typeof setTimeout> | undefined;
  /** When the links of a message came, by its id. */
  #linkedAt = new Map<string, number>();

  constructor(settings: Settings) {
    this.#keep = new Keep(settings);
    this.#language = settings.language;
    const session = new Session(settings, this.#keep);
    this.session = session;
    this.uploads = new Uploads(`${session.base}/files`, () => session.token);
    this.#socket = new LiveSocket({
      open: eitherWay({ base: session.base, token: () => session.token, after: () => resumeAfter(this.chat.value) }),
      url: () => this.#url(),
      opened: (send) => {
        this.#ready = false;
        const after = resumeAfter(this.chat.value);
        send(after > 0 ? { type: 'hello', token: session.token, after } : { type: 'hello', token: session.token });
      },
      frame: (frame) => this.#frame(frame),
      state: (state) => {
        if (state !== 'live') this.#ready = false;
        this.live.value = state;
      },
      closed: (code) => this.#closed(code),
    });
    addEventListener('storage', (event) => this.#stored(event));
    document.addEventListener('visibilitychange', () => this.markSeen());
    setInterval(() => this.#flush(false), RESEND);
    setInterval(() => this.#renew(), LINK_LIFE / 4);
    if (!settings.consent || this.#keep.get(CONSENT) !== null) this.#agree();
  }

  show(): void {
    this.open.value = true;
    this.unread.value = 0;
    if (!this.agreed.value) return;
    if (this.session.token === null) void this.#begin();
    else this.#socket.start();
    this.#renew();
    this.markSeen();
  }

  /** The visitor agrees that the conversation is kept. */
  agree(): void {
    this.#keep.set(CONSENT, '1');
    this.#agree();
    this.show();
  }

  /** The shop's server says who this is; a conversation that was begun as a stranger is joined to theirs. */
  async identify(jwt: string): Promise<void> {
    if (!this.agreed.value) this.session.jwt = jwt;
    else if (await this.session.identify(jwt)) this.#anew();
  }

  /** The user has logged out of the shop: nothing of the conversation stays in this browser. */
  forget(): void {
    this.#socket.stop();
    this.session.forget();
    this.#keep.remove(this.#mailKey);
    this.#seen = 0;
    this.unread.value = 0;
    this.chat.value = { messages: [], pending: [] };
    if (this.open.value && this.agreed.value) void this.#begin();
  }

  /** Somebody types in the composer. */
  typed(): void {
    if (!this.#ready || Date.now() - this.#typedAt < TYPING_PAUSE) return;
    this.#typedAt = Date.now();
    this.#socket.send({ type: 'typing' });
  }

  /** Asks for fresh links to the files of a message. */
  refresh(message: string): void {
    if (this.#ready) this.#socket.send({ type: 'refresh', message });
  }

  hide(): void {
    this.open.value = false;
  }

  say(text: string): void {
    const files = this.uploads.take();
    const line: Pending = { id: uuid(), at: Date.now(), text, state: 'sending' };
    this.#write(files.length > 0 ? { ...line, files } : line);
    this.#typedAt = 0;
  }

  choose(option: string, label: string): void {
    this.#write({ id: uuid(), at: Date.now(), text: label, option, state: 'sending' });
  }

  /** The visitor says where answers shall go. */
  answerAt(email: string): void {
    if (!this.#socket.send({ type: 'profile', id: uuid(), email, language: this.#language })) return;
    this.#keep.set(this.#mailKey, email);
    this.mail.value = email;
  }

  /** Has what was said sent to the visitor's address; false if it was not. */
  sendChat(): Promise<boolean> {
    return this.session.ask('transcript', {}).then((answer) => answer.ok, () => false);
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
    const base = `${this.session.base.replace(/^http/u, 'ws')}/socket`;
    return after > 0 ? `${base}?after=${after}` : base;
  }

  #agree(): void {
    this.agreed.value = true;
    this.session.restore();
    this.#restore();
    // A visitor who has talked to us gets news at once; for others nothing is stored or sent before they open the chat.
    if (this.session.token === null) return;
    this.#socket.start();
    if (this.session.jwt !== '') void this.identify(this.session.jwt);
  }

  async #begin(): Promise<void> {
    if (this.#starting) return;
    this.#starting = true;
    this.live.value = 'connecting';
    try {
      await this.session.begin();
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

  /** The token is another one, or none. What the former showed does not belong to it; what waits to be sent does, unless a tab forgot it. */
  #anew(): void {
    this.#socket.stop();
    const pending = this.chat.value.pending.filter((line) => this.#keep.get(OUTBOX + line.id) !== null);
    this.chat.value = { messages: [], pending };
    this.#seen = 0;
    if (this.session.token !== null) this.#socket.start();
    else if (this.open.value) void this.#begin();
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
    this.session.drop();
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
        if (Array.isArray(frame['items'])) {
          const items = frame['items'] as VisitorMessage[];
          for (const item of items) this.#linkedAt.set(item.id, Date.now());
          this.chat.value = receiveAll(this.chat.value, items);
        }
        this.#flush(true);
        this.markSeen();
        break;
      case 'message':
      case 'changed':
        this.#message(frame as unknown as VisitorMessage, frame['type'] === 'message');
        break;
      case 'ack':
        this.#acked(String(frame['id'] ?? ''));
        break;
      case 'typing':
        this.#typing(String(frame['author'] ?? ''));
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
    if (typeof frame['max_file'] === 'number') this.uploads.limit = frame['max_file'];
    this.ways.value = waysOf(frame['links']);
    this.#mailKey = `mail:${String(frame['visitor_id'])}`;
    this.mail.value = frame['mail'] === true ? this.#keep.get(this.#mailKey) ?? '' : null;
    if (typeof frame['unread'] === 'number' && !this.open.value) this.unread.value = frame['unread'];
    if (this.session.fresh) {
      this.session.fresh = false;
      this.#socket.send({ type: 'start', id: uuid(), page: pageNow() });
    }
    this.#flush(true);
  }

  #message(message: VisitorMessage, isNew: boolean): void {
    if (typeof message.id !== 'string' || typeof message.pos !== 'number' || !Array.isArray(message.parts)) return;
    let known = false;
    for (const item of this.chat.value.messages) if (item.id === message.id) known = true;
    this.#linkedAt.set(message.id, Date.now());
    this.chat.value = receive(this.chat.value, message);
    if (!message.mine) this.#typing('');
    if (isNew && !known && !message.mine) {
      if (this.open.value && document.visibilityState !== 'hidden') this.markSeen();
      else this.unread.value += 1;
    }
  }

  /** The agent of this name types; nobody does, if it is empty or some seconds have passed. */
  #typing(name: string): void {
    clearTimeout(this.#typingTimer);
    this.typing.value = name;
    if (name === '') return;
    this.#typingTimer = setTimeout(() => {
      this.typing.value = '';
    }, TYPING_SHOWN);
  }

  /** While the chat is looked at, the links in it stay good. */
  #renew(): void {
    if (!this.open.value || document.visibilityState === 'hidden') return;
    const old = Date.now() - LINK_LIFE;
    for (const message of this.chat.value.messages.slice(-20)) {
      const has = message.parts.some((part) => part.type === 'media' && part.url);
      if (has && (this.#linkedAt.get(message.id) ?? 0) < old) this.refresh(message.id);
    }
  }

  #acked(id: string): void {
    this.#keep.remove(OUTBOX + id);
    this.problem.value = '';
    this.chat.value = acknowledge(this.chat.value, id);
  }

  #failed(frame: Frame): void {
    const code = String(frame['code'] ?? '');
    this.problem.value = code === 'too_long' ? 'too_long' : code === 'rate_limited' ? 'slow_down' : '';
    // A busy gateway gets the line again by itself.
    if (typeof frame['id'] !== 'string' || code === 'unavailable' || code === 'rate_limited') return;
    this.chat.value = mark(this.chat.value, frame['id'], 'failed');
  }

  #write(line: Pending): void {
    const { id, state: _, files, ...rest } = line;
    const kept = files?.map((file) => ({ ...file, thumb: '' }));
    this.#keep.set(OUTBOX + id, JSON.stringify(kept === undefined ? rest : { ...rest, files: kept }));
    this.chat.value = enqueue(this.chat.value, line);
    if (this.#ready) this.#send(line);
  }

  #send(line: Pending): void {
    const { id, text, option, files = [] } = line;
    this.#socket.send(
      option === undefined
        ? { type: 'message', id, text, files: files.map((file) => file.id), page: pageNow(), referrer: cameFrom() }
        : { type: 'chosen', id, option, label: text },
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
  }

  #adopt(id: string, stored: string | null): void {
    try {
      const value = JSON.parse(stored ?? '') as Omit<Pending, 'id' | 'state'>;
      if (typeof value.at !== 'number' || typeof value.text !== 'string') return;
      this.chat.value = enqueue(this.chat.value, { ...value, id, state: 'sending' });
    } catch {
      this.#keep.remove(OUTBOX + id);
    }
  }

  /** Other tabs of the same visitor: their lines appear here, and what was read there is read here. */
  #stored(event: StorageEvent): void {
    const key = event.key ?? '';
    if (!key.startsWith(this.#keep.prefix)) return;
    const name = key.slice(this.#keep.prefix.length);
    if (name === CONSENT && event.newValue !== null) {
      this.#agree();
    } else if (!this.agreed.value) {
      return;
    } else if (name === TOKEN) {
      if (event.newValue === this.session.token) return;
      this.session.restore();
      this.#anew();
    } else if (name === 'seen' && Number(event.newValue) >= lastPos(this.chat.value)) {
      this.unread.value = 0;
    } else if (name.startsWith(OUTBOX) && event.newValue !== null) {
      this.#adopt(name.slice(OUTBOX.length), event.newValue);
    } else if (name.startsWith(OUTBOX) && event.newValue === null) {
      this.chat.value = acknowledge(this.chat.value, name.slice(OUTBOX.length));
    }
  }
}
