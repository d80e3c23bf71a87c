/** Small things used all over the inbox. */
import { useSignal } from '@preact/signals';
import type { ComponentChildren, JSX } from 'preact';
import { useEffect, useRef } from 'preact/hooks';

import { waited } from '../common/time.ts';
import type { Conversation, Identity } from '../common/types.ts';
import { channelIcon, Icon } from './icons.tsx';
import { feed, now } from './store.ts';
import { t } from './texts.ts';

export function customerName(conversation: Conversation): string {
  return conversation.customer_name || shortValue(conversation.identity);
}

export function shortValue(identity: Identity): string {
  if (identity.scheme === 'visitor') return `${t('visitor')} ${identity.value.slice(-4)}`;
  // A number that the provider made up says nothing to a person.
  const made = (identity.scheme === 'messenger' || identity.scheme === 'instagram') && /^\d{9,}$/u.test(identity.value);
  return made ? `${t('author_customer')} …${identity.value.slice(-4)}` : identity.value;
}

export function agentName(id: string | undefined): string {
  return id ? (feed.value.agents.get(id)?.name ?? '') : '';
}

export function queueName(id: string): string {
  return feed.value.queues.get(id)?.name ?? '';
}

export function channelKind(id: string): string {
  const known = feed.value.channels.get(id)?.kind;
  return known ?? (id.startsWith('web') ? 'webchat' : id.split(/[-_]/u)[0] ?? id);
}

export function channelTitle(id: string): string {
  return feed.value.channels.get(id)?.title || id;
}

/** Initials on a colour that stays the same for the same person. */
export function Avatar({ name, seed, large = false }: { name: string; seed: string; large?: boolean }): JSX.Element {
  let hash = 0;
  for (const letter of seed) hash = (hash * 31 + (letter.codePointAt(0) ?? 0)) % 8;
  const words = name.trim().split(/\s+/u);
  const first = [...(words[0] ?? '')][0] ?? '?';
  const last = words.length > 1 ? ([...(words[words.length - 1] ?? '')][0] ?? '') : '';
  return (
    <span class={`avatar hue-${hash}${large ? ' large' : ''}`} aria-hidden="true">
      {(first + last).toUpperCase()}
    </span>
  );
}

export function ChannelMark({ channel, size = 13 }: { channel: string; size?: number }): JSX.Element {
  const kind = channelKind(channel);
  return (
    <span class={`channel-mark ${kind}`} title={channelTitle(channel)}>
      <Icon name={channelIcon(kind)} size={size} />
      <span class="hidden">{channelTitle(channel)}</span>
    </span>
  );
}

/** How long somebody has waited, live; it warms up with time. */
export function Wait({ since }: { since: string }): JSX.Element {
  const minutes = (now.value - Date.parse(since)) / 60_000;
  const heat = minutes >= 10 ? 'hot' : minutes >= 3 ? 'warm' : '';
  return (
    <span class={`wait ${heat}`} title={t('waiting_since')}>
      <Icon name="waiting" size={13} /> {waited(since, now.value)}
    </span>
  );
}

interface MenuProps {
  label: string;
  /** What the button shows. */
  button: ComponentChildren;
  items: readonly { key: string; label: string; hint?: string; on?: boolean }[];
  pick: (key: string) => void;
  class?: string;
  disabled?: boolean;
  /** The button's own text is its name. */
  selfNamed?: boolean;
  /** Opens upwards. */
  up?: boolean;
}

/** A button with a menu: arrows move, Escape closes and gives the focus back. */
export function Menu({ label, button, items, pick, class: more = '', disabled = false, selfNamed = false, up = false }: MenuProps): JSX.Element {
  const open = useSignal(false);
  const root = useRef<HTMLDivElement>(null);
  const close = (focus: boolean): void => {
    open.value = false;
    if (focus) root.current?.querySelector<HTMLElement>('button')?.focus();
  };
  useEffect(() => {
    if (!open.value) return undefined;
    const outside = (event: Event): void => {
      if (!(event.target instanceof Node) || !root.current?.contains(event.target)) close(false);
    };
    document.addEventListener('pointerdown', outside);
    root.current?.querySelector<HTMLElement>('[role^="menuitem"]')?.focus();
    return () => document.removeEventListener('pointerdown', outside);
  }, [open.value]);
  const onKey = (event: KeyboardEvent): void => {
    if (!open.value) return;
    event.stopPropagation();
    if (event.key === 'Escape') close(true);
    if (event.key === 'Tab') close(false);
    if (event.key !== 'ArrowDown' && event.key !== 'ArrowUp') return;
    event.preventDefault();
    const all = [...(root.current?.querySelectorAll<HTMLElement>('[role^="menuitem"]') ?? [])];
    const step = event.key === 'ArrowDown' ? 1 : -1;
    all[(all.indexOf(document.activeElement as HTMLElement) + step + all.length) % all.length]?.focus();
  };
  return (
    <div class={`menu ${more}`} ref={root} onKeyDown={onKey}>
      <button type="button" {...(selfNamed ? {} : { 'aria-label': label })} title={label} aria-haspopup="menu" aria-expanded={open.value} disabled={disabled} onClick={() => (open.value = !open.value)}>
        {button}
      </button>
      {open.value && (
        <div class={`sheet${up ? ' up' : ''}`} role="menu" aria-label={label}>
          {items.map((item) => (
            <button
              key={item.key} type="button" tabIndex={-1}
              {...(item.on === undefined ? { role: 'menuitem' } : { role: 'menuitemradio', 'aria-checked': item.on })}
              onClick={() => {
                close(true);
                pick(item.key);
              }}
            >
              <span dir="auto">{item.label}</span>
              {item.hint && <small>{item.hint}</small>}
              {item.on && <Icon name="check" size={16} />}
            </button>
          ))}
        </div>
      )}
    </div>
  );
}

/** A native modal dialog: the browser keeps the focus inside and gives it back. */
export function Dialog({ title, close, children, wide = false }: { title: string; close: () => void; children: ComponentChildren; wide?: boolean }): JSX.Element {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => dialog.current?.showModal(), []);
  return (
    <dialog ref={dialog} class={wide ? 'wide' : ''} aria-labelledby="dialog-title" onClose={close} onClick={(event) => event.target === dialog.current && dialog.current?.close()}>
      <div class="dialog-body">
        <header>
          <h2 id="dialog-title">{title}</h2>
          <button type="button" class="plain" aria-label={t('close')} onClick={() => dialog.current?.close()}>
            <Icon name="close" />
          </button>
        </header>
        {children}
      </div>
    </dialog>
  );
}
