/** A line that comes back: growing pauses with jitter, and a watchdog for lines that die silently. A WebSocket, unless told otherwise. */

export type LiveState = 'connecting' | 'live' | 'waiting' | 'stopped';
/** What to do after a close: `retry` with the usual pause, `slow` after a long one, `stop` for good. */
export type AfterClose = 'retry' | 'slow' | 'stop';

export interface LinkEvents {
  opened: () => void;
  frame: (frame: Readonly<Record<string, unknown>>) => void;
  closed: (code: number) => void;
}
/** One connection. After `close` there are no more events. */
export interface Link {
  /** False when nothing was sent. */
  send: (frame: object) => boolean;
  close: () => void;
}
export type Open = (url: string, events: LinkEvents) => Link;

export interface LiveOptions {
  /** Makes a connection; a WebSocket by default. */
  open?: Open;
  /** Asked before every attempt, so that it can carry the newest position. */
  url: () => string;
  opened?: (send: (frame: object) => void) => void;
  frame: (frame: Readonly<Record<string, unknown>>) => void;
  state: (state: LiveState) => void;
  closed?: (code: number) => AfterClose;
}

const FIRST_PAUSE = 500;
const LONGEST_PAUSE = 30_000;
/** The server speaks at least every 20 s. */
const SILENCE = 50_000;
/** The gateway stops, to come back at once. */
const RESTART = 1012;

/** Milliseconds before attempt number `attempt` (from 0); `random` is in [0, 1). */
export function pause(attempt: number, random: number): number {
  const most = Math.min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** Math.min(attempt, 16));
  return Math.round(most / 2 + (most / 2) * random);
}

/** Milliseconds before everybody comes back after a restart: spread, so that they do not come all at once. */
export function spread(random: number): number {
  return Math.round(FIRST_PAUSE + 4500 * random);
}

/** A JSON object, or null for anything else. */
export function parseFrame(data: unknown): Record<string, unknown> | null {
  if (typeof data !== 'string') return null;
  try {
    const value: unknown = JSON.parse(data);
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : null;
  } catch {
    return null;
  }
}

export const openSocket: Open = (url, events) => {
  const socket = new WebSocket(url);
  socket.onopen = () => events.opened();
  socket.onmessage = (event: MessageEvent<unknown>) => {
    const frame = parseFrame(event.data);
    if (frame !== null) events.frame(frame);
  };
  socket.onclose = (event) => events.closed(event.code);
  return {
    send: (frame) => {
      if (socket.readyState !== WebSocket.OPEN) return false;
      socket.send(JSON.stringify(frame));
      return true;
    },
    close: () => {
      socket.onopen = socket.onmessage = socket.onclose = null;
      socket.close();
    },
  };
};

export class LiveSocket {
  #options: LiveOptions;
  #link: Link | null = null;
  #attempt = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #watchdog: ReturnType<typeof setTimeout> | undefined;
  #running = false;
  #wake = (): void => {
    if (this.#running && this.#link === null && document.visibilityState !== 'hidden') {
      this.#attempt = 0;
      this.#connect();
    }
  };

  /** The browser knows before the socket does. */
  #cut = (): void => {
    if (!this.#running || this.#link === null) return;
    this.#drop();
    this.#again('retry');
  };

  constructor(options: LiveOptions) {
    this.#options = options;
  }

  start(): void {
    if (this.#running) return;
    this.#running = true;
    addEventListener('online', this.#wake);
    addEventListener('offline', this.#cut);
    document.addEventListener('visibilitychange', this.#wake);
    this.#connect();
  }

  stop(): void {
    this.#running = false;
    removeEventListener('online', this.#wake);
    removeEventListener('offline', this.#cut);
    document.removeEventListener('visibilitychange', this.#wake);
    clearTimeout(this.#timer);
    this.#drop();
    this.#options.state('stopped');
  }

  /** False when there is no open line; then nothing was sent. */
  send(frame: object): boolean {
    return this.#link?.send(frame) ?? false;
  }

  /** The other side answered sensibly: the next cut starts again with a short pause. */
  healthy(): void {
    this.#attempt = 0;
    this.#options.state('live');
  }

  #drop(): void {
    clearTimeout(this.#watchdog);
    const link = this.#link;
    this.#link = null;
    link?.close();
  }

  #connect(): void {
    clearTimeout(this.#timer);
    this.#drop();
    this.#options.state('connecting');
    try {
      this.#link = (this.#options.open ?? openSocket)(this.#options.url(), {
        opened: () => this.#options.opened?.((frame) => this.send(frame)),
        frame: (frame) => {
          this.#guard();
          this.#options.frame(frame);
        },
        closed: (code) => {
          this.#drop();
          if (this.#running) this.#again(this.#options.closed?.(code) ?? 'retry', code);
        },
      });
    } catch {
      this.#again('retry');
      return;
    }
    this.#guard();
  }

  #guard(): void {
    clearTimeout(this.#watchdog);
    this.#watchdog = setTimeout(() => {
      this.#drop();
      if (this.#running) this.#again('retry');
    }, SILENCE);
  }

  #again(how: AfterClose, code = 0): void {
    if (how === 'stop') {
      this.stop();
      return;
    }
    const attempt = how === 'slow' ? Math.max(this.#attempt, 6) : this.#attempt;
    this.#attempt = attempt + 1;
    this.#options.state('waiting');
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#connect(), code === RESTART ? spread(Math.random()) : pause(attempt, Math.random()));
  }
}
