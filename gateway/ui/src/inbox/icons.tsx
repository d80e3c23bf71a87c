import type { JSX } from 'preact';

/** Strokes on a 24 × 24 grid. */
const PATHS = {
  mine: 'M12 12.5a4 4 0 1 0 0-8 4 4 0 0 0 0 8ZM4.5 20.5c.8-3.4 3.8-5.2 7.5-5.2s6.7 1.8 7.5 5.2',
  waiting: 'M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18ZM12 7.5V12l3 2',
  open: 'M20 11.5a7.5 7.5 0 0 1-7.5 7.5H5l1.4-2.9A7.5 7.5 0 1 1 20 11.5Z',
  snoozed: 'M20 14.5A8.5 8.5 0 0 1 9.5 4a8.5 8.5 0 1 0 10.5 10.5ZM15 4h5l-5 6h5',
  resolved: 'M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18ZM8 12.3l2.8 2.7L16 9.5',
  queue: 'M4 6.5h16M4 12h16M4 17.5h9',
  search: 'M11 18a7 7 0 1 0 0-14 7 7 0 0 0 0 14ZM20.5 20.5 16 16',
  reply: 'M10 7 4.5 12l5.5 5v-3.2c5 0 7.8 1.2 9.5 4.2-.3-5-3.5-8-9.5-8.2V7Z',
  note: 'M14.5 4H6a1.5 1.5 0 0 0-1.5 1.5v13A1.5 1.5 0 0 0 6 20h12a1.5 1.5 0 0 0 1.5-1.5V9l-5-5ZM14.5 4v5h5M8.5 13h7M8.5 16.5h4.5',
  check: 'M5 12.5 10 17.5 19.5 7',
  back: 'M9 7 4.5 11.5 9 16M5 11.5h9.5a5 5 0 0 1 5 5V19',
  move: 'M4 8h14M14.5 4.5 18 8l-3.5 3.5M20 16H6M9.5 12.5 6 16l3.5 3.5',
  panel: 'M5.5 4.5h13a1.5 1.5 0 0 1 1.5 1.5v12a1.5 1.5 0 0 1-1.5 1.5h-13A1.5 1.5 0 0 1 4 18V6a1.5 1.5 0 0 1 1.5-1.5ZM14.5 4.5v15',
  clip: 'M19.5 11.5 12 19a4.7 4.7 0 0 1-6.7-6.7l7.8-7.8a3.1 3.1 0 0 1 4.4 4.4l-7.7 7.7a1.6 1.6 0 0 1-2.2-2.2l7-7',
  help: 'M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18ZM9.5 9.5a2.5 2.5 0 1 1 3.6 2.2c-.8.4-1.1.9-1.1 1.8M12 16.8v.1',
  out: 'M10 4.5H6A1.5 1.5 0 0 0 4.5 6v12A1.5 1.5 0 0 0 6 19.5h4M15 8l4 4-4 4M19 12H9.5',
  close: 'M6 6l12 12M18 6 6 18',
  pin: 'M12 21s6.5-6 6.5-11a6.5 6.5 0 0 0-13 0c0 5 6.5 11 6.5 11ZM12 12.5a2.5 2.5 0 1 0 0-5 2.5 2.5 0 0 0 0 5Z',
  warn: 'M12 4 2.8 19.5h18.4L12 4ZM12 10v4.5M12 17v.1',
  globe: 'M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18ZM3 12h18M12 3c2.5 2.5 3.7 5.5 3.7 9S14.5 18.5 12 21c-2.5-2.5-3.7-5.5-3.7-9S9.5 5.5 12 3Z',
  down: 'M6 9.5l6 6 6-6',
  save: 'M12 4v11M7.5 10.5 12 15l4.5-4.5M5 19.5h14',
  telegram: 'M20.5 4.5 3.5 11.2l5 1.9M20.5 4.5l-2.8 15-7.2-5.3M20.5 4.5 8.5 13.1l.5 5.9 2.6-3.4',
  webchat: 'M4 5.5h16v10.5H12l-4.5 3.5V16H4V5.5ZM8 9.5h8M8 12.5h5',
  sms: 'M7.5 3.5h9A1.5 1.5 0 0 1 18 5v14a1.5 1.5 0 0 1-1.5 1.5h-9A1.5 1.5 0 0 1 6 19V5a1.5 1.5 0 0 1 1.5-1.5ZM10.5 17.5h3',
  email: 'M4 6h16v12.5H4V6ZM4.5 6.5l7.5 6.5 7.5-6.5',
  whatsapp: 'M12 3.5a8.5 8.5 0 0 0-7.3 12.8L3.5 20.5l4.3-1.2A8.5 8.5 0 1 0 12 3.5ZM9 8.2c-.6 3.2 3.2 7.2 6.6 6.8l.6-1.7-2.2-1.1-.9.9c-1-.5-1.8-1.3-2.2-2.2l.9-.9L10.7 7.8 9 8.2Z',
  messenger: 'M12 3.5c-4.9 0-8.5 3.5-8.5 8 0 2.4 1 4.4 2.7 5.9v3.1l2.9-1.6c.9.3 1.9.4 2.9.4 4.9 0 8.5-3.5 8.5-7.8s-3.6-8-8.5-8ZM7 13.5l3.5-3.5 3 2.5 3.5-2.5',
  instagram: 'M8 3.5h8a4.5 4.5 0 0 1 4.5 4.5v8a4.5 4.5 0 0 1-4.5 4.5H8A4.5 4.5 0 0 1 3.5 16V8A4.5 4.5 0 0 1 8 3.5ZM12 15.8a3.8 3.8 0 1 0 0-7.6 3.8 3.8 0 0 0 0 7.6ZM16.9 7.1v.1',
} as const;

export type IconName = keyof typeof PATHS;

const KINDS: ReadonlySet<string> = new Set(['telegram', 'webchat', 'sms', 'email', 'messenger', 'instagram']);

export function Icon({ name, size = 20 }: { name: IconName; size?: number }): JSX.Element {
  return (
    <svg
      class="icon" viewBox="0 0 24 24" width={size} height={size} fill="none" stroke="currentColor"
      stroke-width="1.7" stroke-linecap="round" stroke-linejoin="round" aria-hidden="true"
    >
      <path d={PATHS[name]} />
    </svg>
  );
}

/** The picture of a kind of channel; a speech bubble for kinds that this page does not know. */
export function channelIcon(kind: string): IconName {
  if (kind.startsWith('whatsapp')) return 'whatsapp';
  return kind in PATHS && KINDS.has(kind) ? (kind as IconName) : 'open';
}
