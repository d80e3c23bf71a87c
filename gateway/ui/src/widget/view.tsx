import { useSignal, useSignalEffect } from '@preact/signals';
import type { JSX, RefObject } from 'preact';
import { useEffect, useRef } from 'preact/hooks';

import type { Translate } from '../common/i18n.ts';
import { LinkedText } from '../common/linked-text.tsx';
import { clock, day, dayKey, full } from '../common/time.ts';
import type { VisitorMessage } from '../common/types.ts';
import type { Pending } from '../common/visitor.ts';
import type { VisitorChat } from './chat.ts';
import { Composer } from './composer.tsx';
import { FileFace, PartView } from './parts.tsx';
import type { Settings } from './settings.ts';
import { Ways } from './ways.tsx';

export interface Props {
  chat: VisitorChat;
  settings: Settings;
  t: Translate;
}

function Icon({ d }: { d: string }): JSX.Element {
  return (
    <svg viewBox="0 0 24 24" width="24" height="24" fill="none" stroke="currentColor" stroke-width="1.9" stroke-linecap="round" stroke-linejoin="round" aria-hidden="true">
      <path d={d} />
    </svg>
  );
}
const BUBBLE = 'M20 11.5a7.5 7.5 0 0 1-7.5 7.5H5l1.4-2.9A7.5 7.5 0 1 1 20 11.5ZM9 10h7M9 13.5h4.5';
const CROSS = 'M6 6l12 12M18 6 6 18';

function focusable(panel: HTMLElement): HTMLElement[] {
  const out: HTMLElement[] = [];
  for (const element of panel.querySelectorAll<HTMLElement>('a[href],button:not(:disabled),textarea,[tabindex="0"]')) out.push(element);
  return out;
}

/** Escape closes; Tab goes round within the panel. */
function onPanelKey(event: KeyboardEvent, panel: HTMLElement, close: () => void): void {
  event.stopPropagation(); // the shop's own shortcuts must not fire while somebody types here
  if (event.key === 'Escape') close();
  if (event.key !== 'Tab') return;
  const all = focusable(panel);
  const first = all[0];
  const last = all[all.length - 1];
  const active = (panel.getRootNode() as ShadowRoot).activeElement;
  if (event.shiftKey && active === first) {
    event.preventDefault();
    last?.focus();
  } else if (!event.shiftKey && active === last) {
    event.preventDefault();
    first?.focus();
  }
}

export function Widget(props: Props): JSX.Element {
  const { chat, t } = props;
  const launcher = useRef<HTMLButtonElement>(null);
  const open = chat.open.value;
  const close = (): void => {
    chat.hide();
    requestAnimationFrame(() => launcher.current?.focus()); // on small screens it comes back only with the next frame
  };
  const unread = chat.unread.value;
  const label = open ? t('close') : unread > 0 ? `${t('open')} – ${t('unread', { n: unread })}` : t('open');
  return (
    <>
      {open && <Panel {...props} close={close} />}
      <button ref={launcher} type="button" class="launcher" aria-label={label} aria-expanded={open} aria-haspopup="dialog" onClick={() => (open ? close() : chat.show())}>
        <Icon d={open ? CROSS : BUBBLE} />
        {!open && unread > 0 && <span class="badge" aria-hidden="true">{unread > 99 ? '99+' : unread}</span>}
      </button>
      <div class="hidden" role="status">{!open && unread > 0 ? t('unread', { n: unread }) : ''}</div>
    </>
  );
}

function Panel(props: Props & { close: () => void }): JSX.Element {
  const { chat, t, close } = props;
  const panel = useRef<HTMLDivElement>(null);
  const field = useRef<HTMLTextAreaElement>(null);
  const over = useSignal(false);
  const agreed = chat.agreed.value;
  useEffect(() => field.current?.focus(), [agreed]);
  const carries = (event: DragEvent): boolean => agreed && (event.dataTransfer?.types.includes('Files') ?? false);
  return (
    <div
      ref={panel} class="panel" role="dialog" aria-labelledby="title" onKeyDown={(event) => panel.current && onPanelKey(event, panel.current, close)}
      onDragOver={(event) => {
        if (!carries(event)) return;
        event.preventDefault();
        over.value = true;
      }}
      onDragLeave={(event) => {
        if (!panel.current?.contains(event.relatedTarget as Node | null)) over.value = false;
      }}
      onDrop={(event) => {
        over.value = false;
        if (!carries(event)) return;
        event.preventDefault();
        chat.uploads.add(event.dataTransfer?.files ?? []);
      }}
    >
      <div class="head">
        <div class="mark" aria-hidden="true"><Icon d={BUBBLE} /></div>
        <div class="names">
          <h2 id="title" dir="auto">{chat.session.title.value || props.settings.title || t('title')}</h2>
          <p class="presence" hidden={!agreed} data-state={chat.live.value} role="status">
            <Presence {...props} />
          </p>
        </div>
        <button type="button" class="icon" aria-label={t('close')} onClick={close}><Icon d={CROSS} /></button>
      </div>
      {agreed ? (
        <>
          <Log {...props} />
          <Composer chat={chat} t={t} locale={props.settings.locale} field={field} />
        </>
      ) : (
        <Consent {...props} />
      )}
      {over.value && <div class="drop" aria-hidden="true">{t('drop')}</div>}
    </div>
  );
}

/** Asked once, before anything is stored. */
function Consent({ chat, settings, t, close }: Props & { close: () => void }): JSX.Element {
  const yes = useRef<HTMLButtonElement>(null);
  useEffect(() => yes.current?.focus(), []);
  return (
    <div class="consent">
      <h3>{t('consent_title')}</h3>
      <p>{t('consent_text')}</p>
      {settings.privacy !== '' && <a href={settings.privacy} target="_blank" rel="noopener noreferrer">{t('privacy')}</a>}
      <div class="answers">
        <button ref={yes} type="button" class="yes" onClick={() => chat.agree()}>{t('consent_yes')}</button>
        <button type="button" class="no" onClick={close}>{t('consent_no')}</button>
      </div>
    </div>
  );
}

function Presence({ chat, t }: Props): JSX.Element {
  const live = chat.live.value;
  return <>{t(live === 'waiting' ? 'offline' : live === 'connecting' ? 'connecting' : 'online')}</>;
}

function useStickToEnd(chat: VisitorChat): RefObject<HTMLDivElement | null> {
  const log = useRef<HTMLDivElement>(null);
  const atEnd = useRef(true);
  useEffect(() => {
    const element = log.current;
    if (element === null) return;
    let top = 0;
    const watch = (): void => {
      // A picture that grows below is no reader who has scrolled away.
      if (element.scrollHeight - element.scrollTop - element.clientHeight < 60) atEnd.current = true;
      else if (element.scrollTop < top - 2) atEnd.current = false;
      top = element.scrollTop;
    };
    const loaded = (): void => {
      if (atEnd.current) element.scrollTop = element.scrollHeight;
    };
    element.addEventListener('scroll', watch, { passive: true });
    element.addEventListener('load', loaded, true);
  }, []);
  useSignalEffect(() => {
    const { pending } = chat.chat.value;
    void chat.typing.value;
    requestAnimationFrame(() => {
      const element = log.current;
      if (element !== null && (atEnd.current || pending.length > 0)) element.scrollTop = element.scrollHeight;
    });
  });
  return log;
}

function Log(props: Props): JSX.Element {
  const { chat, settings, t } = props;
  const log = useStickToEnd(chat);
  const { messages, pending } = chat.chat.value;
  const rows: JSX.Element[] = [];
  let before: VisitorMessage | undefined;
  const last = messages[messages.length - 1];
  for (const message of messages) {
    if (before === undefined || dayKey(before.at) !== dayKey(message.at)) {
      rows.push(<div class="day" key={`day ${message.id}`}>{day(message.at, settings.locale, Date.now())}</div>);
      before = undefined;
    }
    const joined = before !== undefined && before.mine === message.mine && before.author === message.author;
    const pressable = message === last && pending.length === 0;
    rows.push(<Line key={message.id} {...props} message={message} joined={joined} pressable={pressable} />);
    before = message;
  }
  for (const line of pending) rows.push(<Waiting key={line.id} {...props} line={line} />);
  return (
    <div ref={log} class="log" role="log" aria-live="polite" aria-label={t('log')} tabIndex={0}>
      <div class="hello">
        <strong dir="auto">{chat.session.greeting.value || t('greeting')}</strong>
        <p>{t('greeting_more')}</p>
      </div>
      {rows}
      <Mail {...props} />
      <Ways {...props} />
      <Typing {...props} />
    </div>
  );
}

/** Asked once something was said: where answers shall go when nobody is here to read them. */
function Mail({ chat, t }: Props): JSX.Element | null {
  const told = useSignal('mail_chat');
  const address = chat.mail.value;
  if (address === null || chat.chat.value.messages.length === 0) return null;
  if (address !== '') {
    const send = (): void => {
      told.value = 'sending';
      void chat.sendChat().then((done) => (told.value = done ? 'sent' : 'failed'));
    };
    return <p class="meta"><bdi>{t('mail_given', { address })}</bdi> <button type="button" class="retry" disabled={told.value === 'sending'} onClick={send}>{t(told.value)}</button></p>;
  }
  const give = (event: Event): void => {
    event.preventDefault();
    chat.answerAt(String(new FormData(event.target as HTMLFormElement).get('mail')).trim());
  };
  return (
    <form class="mail" onSubmit={give}>
      <label for="mail">{t('mail_ask')}</label>
      <input id="mail" name="mail" type="email" required maxLength={254} autocomplete="email" />
      <button class="yes">{t('mail_give')}</button>
    </form>
  );
}

function Typing({ chat, t }: Props): JSX.Element | null {
  const name = chat.typing.value;
  if (name === '') return null;
  return (
    <div class="line theirs typing">
      <div class="bubble"><span class="dots" aria-hidden="true"><i /><i /><i /></span><span dir="auto">{t('typing', { name })}</span></div>
    </div>
  );
}

function Line({ chat, settings, t, message, joined, pressable }: Props & { message: VisitorMessage; joined: boolean; pressable: boolean }): JSX.Element {
  const parts: JSX.Element[] = [];
  if (!message.deleted) {
    for (const part of message.parts) {
      const refresh = (): void => chat.refresh(message.id);
      parts.push(<PartView part={part} origin={settings.origin} t={t} locale={settings.locale} refresh={refresh} choose={pressable ? (option, label) => chat.choose(option, label) : undefined} />);
    }
  }
  return (
    <div class={`line ${message.mine ? 'mine' : 'theirs'}${joined ? ' joined' : ''}`}>
      {!joined && <span class={message.mine ? 'hidden' : 'author'}><bdi>{message.mine ? t('you') : message.author || t('team')}</bdi></span>}
      <div class="bubble">{message.deleted ? <p class="text muted">{t('deleted')}</p> : parts}</div>
      <span class="meta">
        <time dateTime={message.at} title={full(message.at, settings.locale)}>{clock(message.at, settings.locale)}</time>
        {message.edited && !message.deleted ? ` · ${t('edited')}` : ''}
      </span>
    </div>
  );
}

function Waiting({ chat, settings, t, line }: Props & { line: Pending }): JSX.Element {
  return (
    <div class={`line mine ${line.state}`}>
      <div class="bubble">
        {line.text !== '' && <LinkedText text={line.text} />}
        {line.files?.map((file) => (
          <p class={file.thumb === '' ? 'card' : 'picture'} key={file.id}>
            <FileFace name={file.name} size={file.size} picture={file.thumb} locale={settings.locale} />
          </p>
        ))}
      </div>
      <span class="meta">
        {t(line.state)}
        {line.state === 'failed' && (
          <button type="button" class="retry" onClick={() => chat.retry(line.id)}>{t('retry')}</button>
        )}
      </span>
    </div>
  );
}
