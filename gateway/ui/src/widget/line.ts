/** Two ways to the gateway: a WebSocket, and where something in between refuses those, a stream of events with POSTs. */
import { openSocket, parseFrame, type Link, type LinkEvents, type Open } from '../common/live.ts';

/** Upgrades that fail in a row before the other way is tried. */
const ENOUGH = 2;
/** A proxy may swallow an upgrade without a word. */
const PATIENCE = 10_000;
const GONE = 1006;

/** What the other way needs to know. */
export interface Stream {
  /** `https://gateway/chat/v1/<channel>` */
  base: string;
  token: () => string | null;
  after: () => number;
}

/** A WebSocket first; after two failures the stream; when that ends, a WebSocket once more before the next stream. */
export function eitherWay(stream: Stream): Open {
  let failures = 0;
  return (url, events) => {
    const streaming = failures >= ENOUGH;
    let opened = false;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const watched: LinkEvents = {
      frame: events.frame,
      opened: () => {
        clearTimeout(timer);
        opened = true;
        if (!streaming) failures = 0;
        events.opened();
      },
      closed: (code) => {
        clearTimeout(timer);
        if (streaming) failures = ENOUGH - 1;
        else if (!opened && navigator.onLine) failures += 1;
        events.closed(code);
      },
    };
    if (streaming) return openStream(stream, watched);
    const link = openSocket(url, watched);
    timer = setTimeout(() => {
      link.close();
      watched.closed(GONE);
    }, PATIENCE);
    return { send: link.send, close: () => (clearTimeout(timer), link.close()) };
  };
}

/** Frames come as Server-Sent Events, read by `fetch` because an EventSource cannot carry a token outside its address. */
function openStream({ base, token, after }: Stream, events: LinkEvents): Link {
  const stop = new AbortController();
  const headers = { Authorization: `Bearer ${token() ?? ''}` };
  const common = { headers, signal: stop.signal, credentials: 'omit', cache: 'no-store' } as const;
  let sending = Promise.resolve();

  const read = async (): Promise<void> => {
    const answer = await fetch(`${base}/events?after=${after()}`, common);
    if (!answer.ok || answer.body === null) {
      events.closed(answer.status === 401 ? 4401 : answer.status === 429 ? 1008 : GONE);
      return;
    }
    events.opened();
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = '';
    for (;;) {
      const { value, done } = await reader.read();
      if (done) break;
      const blocks = (rest + value).split('\n\n');
      rest = blocks.pop() ?? '';
      for (const block of blocks) {
        const frame = parseFrame(block.slice(block.indexOf('data: ') + 6));
        if (frame !== null && !stop.signal.aborted) events.frame(frame);
      }
    }
    if (!stop.signal.aborted) events.closed(1012);
  };
  const post = async (frame: object): Promise<void> => {
    const request = { ...common, method: 'POST', body: JSON.stringify(frame), headers: { ...headers, 'Content-Type': 'application/json' } };
    const answer = await fetch(`${base}/frames`, request);
    const body = (await answer.json()) as { items?: Record<string, unknown>[] };
    if (answer.status === 401) events.closed(4401);
    if (answer.status === 429) events.frame({ type: 'error', code: 'rate_limited' });
    for (const item of body.items ?? []) if (!stop.signal.aborted) events.frame(item);
  };

  read().catch(() => stop.signal.aborted || events.closed(GONE));
  return {
    send: (frame) => {
      // Who is there, and since when, is in the request already. A frame that is lost is sent again by its owner.
      if ((frame as { type?: string }).type !== 'hello') sending = sending.then(() => post(frame)).catch(() => undefined);
      return true;
    },
    close: () => stop.abort(),
  };
}
