/** The shop's other channels that a chat can go on in. */
import type { Session } from './session.ts';

export interface Way { channel: string; title: string }

/** What the gateway offers; nothing of it is taken on trust. */
export function waysOf(offered: unknown): readonly Way[] {
  const all = Array.isArray(offered) ? (offered as Partial<Way>[]) : [];
  return all.filter((one): one is Way => typeof one?.channel === 'string' && typeof one.title === 'string');
}

/** The address of the other channel's chat; empty if there is none now. */
export async function addressOf(session: Session, channel: string): Promise<string> {
  const answer = await session.ask('links', { channel });
  const { url } = (await answer.json()) as { url?: unknown };
  return answer.ok && typeof url === 'string' && /^https?:/u.test(url) ? url : '';
}
