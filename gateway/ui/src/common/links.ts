/** Finds addresses in plain text. Only four schemes ever become a link; everything else stays text. */

export interface Link {
  text: string;
  href: string;
  /** The true host, when the text does not plainly show it (look-alike letters, `user@host`); else empty. */
  host: string;
}
export type Segment = string | Link;

const CANDIDATE = /\b(?:https?:\/\/|www\.|mailto:|tel:)[^\s<>"'`\u0000-\u001f\u200b-\u200f\u2028-\u202e\u2066-\u2069]+/giu;
const SCHEMES: ReadonlySet<string> = new Set(['http:', 'https:', 'mailto:', 'tel:']);

/** The address if it is one that may be opened, else null. Relative addresses are refused. */
export function safeUrl(raw: string): URL | null {
  let url: URL;
  try {
    url = new URL(raw);
  } catch {
    return null;
  }
  if (!SCHEMES.has(url.protocol)) return null;
  // URL drops control characters silently, so an address that holds them is a trick.
  return /[\u0000-\u0020\u007f]/u.test(raw) ? null : url;
}

/** Punctuation and unbalanced brackets at the end belong to the sentence, not to the address. */
function trimEnd(candidate: string): string {
  let end = candidate.length;
  while (end > 0) {
    const last = candidate.charAt(end - 1);
    const head = candidate.slice(0, end);
    if (/[.,;:!?…*_]/u.test(last)) end -= 1;
    else if (last === ')' && head.split('(').length <= head.split(')').length - 1) end -= 1;
    else if (last === ']' || last === '}') end -= 1;
    else break;
  }
  return candidate.slice(0, end);
}

function toLink(text: string): Link | null {
  const url = safeUrl(/^www\./iu.test(text) ? `https://${text}` : text);
  if (url === null) return null;
  if (url.protocol === 'mailto:' || url.protocol === 'tel:') return { text, href: url.href, host: '' };
  if (url.hostname === '') return null;
  const shown = text.toLowerCase().replace(/^https?:\/\//u, '');
  const plain = url.username === '' && (shown === url.host || /^[/?#:]/u.test(shown.slice(url.hostname.length)));
  return { text, href: url.href, host: plain && shown.startsWith(url.hostname) ? '' : url.host };
}

/** Text cut into plain pieces and links; joined again it is the same text. */
export function linkify(text: string): Segment[] {
  const out: Segment[] = [];
  let from = 0;
  for (const match of text.matchAll(CANDIDATE)) {
    const raw = trimEnd(match[0]);
    const link = toLink(raw);
    if (link === null) continue;
    if (match.index > from) out.push(text.slice(from, match.index));
    out.push(link);
    from = match.index + raw.length;
  }
  if (from < text.length) out.push(text.slice(from));
  return out;
}
