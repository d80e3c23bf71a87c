/** A reply that the gateway has not answered for yet. */
import type { Message, Part } from '../common/types.ts';

export interface Outgoing {
  readonly key: string;
  readonly conversation: string;
  readonly text: string;
  readonly parts: readonly Part[];
  readonly note: boolean;
  /** Below the public message that it answers, for everybody. */
  readonly public?: boolean;
  /** Our id of the message that is answered. */
  readonly replyTo?: string;
  /** Newest position the agent could see when they pressed send. */
  readonly seen: number;
  readonly state: 'sending' | 'stale' | 'failed';
  readonly problem: string;
}

/**
 * What has to be shown below the thread. The feed is often quicker than the answer to the request: what it brought already is
 * not shown a second time. The n-th equal reply belongs to the n-th equal line.
 */
export function unshown(going: readonly Outgoing[], items: readonly Message[], author: string): readonly Outgoing[] {
  const taken = new Set<string>();
  return going.filter((item) => {
    if (item.state !== 'sending') return true;
    const line = items.find((message) => message.pos > item.seen && message.author.id === author && !taken.has(message.id) && says(message, item));
    if (line !== undefined) taken.add(line.id);
    return line === undefined;
  });
}

function says(message: Message, item: Outgoing): boolean {
  if ((message.kind === 'note') !== item.note || message.parts.length !== Math.max(item.parts.length, 1)) return false;
  if (item.parts.length === 0) return message.parts[0]?.type === 'text' && message.parts[0].text.trim() === item.text.trim();
  return item.parts.every((part, index) => same(part, message.parts[index]));
}

function same(part: Part, other: Part | undefined): boolean {
  if (part.type === 'media') return other?.type === 'media' && (other.stored === part.ref || other.ref === part.ref);
  if (part.type === 'text') return other?.type === 'text' && other.text.trim() === part.text.trim();
  if (part.type === 'template') return other?.type === 'template' && other.name === part.name && (other.parameters ?? []).join('\n') === (part.parameters ?? []).join('\n');
  return other?.type === part.type;
}
