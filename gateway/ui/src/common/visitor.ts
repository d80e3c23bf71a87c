/** What a visitor's chat shows: messages from the server and the visitor's own lines still on their way. Pure. */
import type { Part, VisitorMessage } from './types.ts';

export type SendState = 'sending' | 'sent' | 'failed';

/** A file that was uploaded, and goes with a line. */
export interface SentFile {
  readonly id: string;
  readonly name: string;
  readonly size: number;
  readonly mime: string;
  /** Local picture of it, only in the tab that sent it; empty if there is none. */
  readonly thumb: string;
}

/** A line of the visitor's. It stays until the server's own copy of it has come. */
export interface Pending {
  /** Client uuid; the server takes each only once. */
  readonly id: string;
  /** Milliseconds since 1970, by the visitor's clock: the order of sending. */
  readonly at: number;
  readonly text: string;
  /** For a pressed button. */
  readonly option?: string;
  readonly files?: readonly SentFile[];
  readonly state: SendState;
}

export interface Chat { readonly messages: readonly VisitorMessage[]; readonly pending: readonly Pending[] }

/** The words of a message, for matching. */
export function wordsOf(parts: readonly Part[]): string {
  let out = '';
  for (const part of parts) {
    const line = part.type === 'text' || part.type === 'choices' ? part.text : part.type === 'chosen' ? part.label || part.id : '';
    if (line !== '') out += (out === '' ? '' : '\n') + line;
  }
  return out;
}

function insert(messages: readonly VisitorMessage[], message: VisitorMessage): VisitorMessage[] {
  const out: VisitorMessage[] = [];
  let placed = false;
  for (const item of messages) {
    if (item.id === message.id) continue;
    if (!placed && item.pos > message.pos) {
      out.push(message);
      placed = true;
    }
    out.push(item);
  }
  if (!placed) out.push(message);
  return out;
}

/** Does the server's message stand for the waiting line `id`? */
function standsFor(message: VisitorMessage, id: string): boolean {
  return message.mine && message.client_id === id;
}

/** A new or changed message from the server; the waiting line that it stands for goes. */
export function receive(chat: Chat, message: VisitorMessage): Chat {
  const pending: Pending[] = [];
  for (const line of chat.pending) if (!standsFor(message, line.id)) pending.push(line);
  return { messages: insert(chat.messages, message), pending };
}

/** Many messages after a (re)connection. */
export function receiveAll(chat: Chat, messages: readonly VisitorMessage[]): Chat {
  let next = chat;
  for (const message of messages) next = receive(next, message);
  return next;
}

/** The server has line `id` for good. It stays until the server's own copy has come. */
export function acknowledge(chat: Chat, id: string): Chat {
  let shown = false;
  for (const message of chat.messages) shown ||= standsFor(message, id);
  const pending: Pending[] = [];
  for (const line of chat.pending) {
    if (line.id !== id) pending.push(line);
    else if (!shown) pending.push({ ...line, state: 'sent' });
  }
  return { messages: chat.messages, pending };
}

/** Line `id` goes to `state`; other lines stay. */
export function mark(chat: Chat, id: string, state: SendState): Chat {
  const pending: Pending[] = [];
  for (const line of chat.pending) pending.push(line.id === id ? { ...line, state } : line);
  return { messages: chat.messages, pending };
}

/** A new line at the end; one that is already there is not added again. */
export function enqueue(chat: Chat, line: Pending): Chat {
  for (const item of chat.pending) if (item.id === line.id) return chat;
  const pending: Pending[] = [];
  let placed = false;
  for (const item of chat.pending) {
    if (!placed && item.at > line.at) {
      pending.push(line);
      placed = true;
    }
    pending.push(item);
  }
  if (!placed) pending.push(line);
  return { messages: chat.messages, pending };
}

/** Lines before the end that a new connection asks for again: they may have been edited or taken back meanwhile. */
const REVISIT = 20;

/** Where a new connection goes on; 0 if nothing is known yet. */
export function resumeAfter(chat: Chat): number {
  const first = chat.messages[Math.max(0, chat.messages.length - REVISIT)];
  return first === undefined ? 0 : Math.max(1, first.pos - 1);
}

/** Greatest position seen. */
export function lastPos(chat: Chat): number {
  let last = 0;
  for (const message of chat.messages) if (message.pos > last) last = message.pos;
  return last;
}
