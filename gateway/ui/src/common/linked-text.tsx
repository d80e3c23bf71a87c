import type { JSX } from 'preact';

import { linkify } from './links.ts';

/** Text of a stranger: shown as text, with safe links, its direction kept apart from the surroundings. */
export function LinkedText({ text }: { text: string }): JSX.Element {
  const out: (string | JSX.Element)[] = [];
  for (const segment of linkify(text)) {
    out.push(
      typeof segment === 'string' ? (
        segment
      ) : (
        <a href={segment.href} target="_blank" rel="noopener noreferrer" title={segment.href}>
          {segment.text}
          {segment.host !== '' && <span class="true-host"> ({segment.host})</span>}
        </a>
      ),
    );
  }
  return (
    <p class="text" dir="auto">
      {out}
    </p>
  );
}
