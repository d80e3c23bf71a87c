/** Who is typing, on both sides. Nothing of it is kept: a sign of it is good for some seconds. */
import { signal } from '@preact/signals';

import { send } from './api.ts';

const SHOWN = 6_000;
const PAUSE = 3_000;

/** Conversations whose shopper is typing, with the timers that end it. */
export const typing = signal<ReadonlyMap<string, ReturnType<typeof setTimeout>>>(new Map());

export function shopperTypes(conversation: string): void {
  clearTimeout(typing.value.get(conversation));
  typing.value = new Map(typing.value).set(conversation, setTimeout(() => shopperStops(conversation), SHOWN));
}

/** They have written, or have been quiet for long enough. */
export function shopperStops(conversation: string): void {
  const timer = typing.value.get(conversation);
  if (timer === undefined) return;
  clearTimeout(timer);
  const left = new Map(typing.value);
  left.delete(conversation);
  typing.value = left;
}

/** What a frame of the feed means for it. */
export function hear(frame: Readonly<Record<string, unknown>>): void {
  if (frame['type'] === 'typing') shopperTypes(String(frame['conversation_id']));
  if (frame['type'] !== 'message.added') return;
  const message = (frame['data'] as { message?: { kind?: string; conversation_id?: string } } | undefined)?.message;
  if (message?.kind === 'inbound') shopperStops(message.conversation_id ?? '');
}

const told = new Map<string, number>();

/** The shopper may know that an answer is being written. */
export function agentTypes(conversation: string): void {
  if (Date.now() - (told.get(conversation) ?? 0) < PAUSE) return;
  told.set(conversation, Date.now());
  void send('POST', `/conversations/${conversation}/typing`).catch(() => undefined);
}

/** The answer is sent; the next letter begins another one. */
export function agentSent(conversation: string): void {
  told.delete(conversation);
}
