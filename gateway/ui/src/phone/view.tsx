import { useSignal } from '@preact/signals';
import type { JSX } from 'preact';
import { useEffect, useLayoutEffect, useRef } from 'preact/hooks';

import { day, dayKey } from '../common/time.ts';
import { Bubble } from './bubble.tsx';
import { drawSample, readPicture } from './picture.ts';
import { LOCALE, addUser, block, bot, chats, chosen, connected, edit, problem, sendPhoto, write, type Chat, type ChatMessage } from './telegram.ts';

function nameOf(chat: Chat): string {
  return [chat.user.first_name, chat.user.last_name].filter((part) => part !== undefined && part !== '').join(' ');
}

export function App(): JSX.Element {
  const chat = chats.value.find((one) => one.chat_id === chosen.value);
  return (
    <div class="desk">
      <nav class="demo" aria-label="Demo">
        <strong>Sportello demo</strong>
        <a href="/">Shop</a><a href="/inbox/">Agents' inbox</a><a href="/phone/" aria-current="page">Shopper's phone</a>
      </nav>
      <aside class="people">
        <h1>Who is writing?</h1>
        <p>Play a shopper who writes by Telegram. The answer of the agents comes back here.</p>
        <ul>
          {chats.value.map((one) => (
            <li key={one.chat_id}>
              <button type="button" class={one.chat_id === chosen.value ? 'here' : ''} aria-pressed={one.chat_id === chosen.value} onClick={() => (chosen.value = one.chat_id)}>
                <span class={`face hue-${one.chat_id % 6}`} aria-hidden="true">{[...one.user.first_name][0]}</span>
                <bdi>{nameOf(one)}</bdi>
                <small>{one.user.language_code?.toUpperCase()}</small>
              </button>
            </li>
          ))}
        </ul>
        <NewShopper />
      </aside>
      <main class="phone" aria-label="Phone">
        <div class="glass">{chat === undefined ? <div class="nobody"><p>Add a shopper to begin.</p></div> : <Telegram key={chat.chat_id} chat={chat} />}</div>
      </main>
    </div>
  );
}

function NewShopper(): JSX.Element {
  return (
    <form
      class="new"
      onSubmit={(event) => {
        event.preventDefault();
        const form = event.currentTarget;
        const data = new FormData(form);
        const [first = '', ...rest] = String(data.get('name') ?? '').trim().split(/\s+/u);
        if (first !== '') void addUser(first, rest.join(' '), String(data.get('language') ?? 'en')).then((done) => done && form.reset());
      }}
    >
      <label for="name">New shopper</label>
      <div>
        <input id="name" name="name" placeholder="Name" autocomplete="off" required maxLength={64} />
        <select name="language" aria-label="Language">{['en', 'it', 'pl', 'de', 'fr', 'ar'].map((tag) => <option key={tag}>{tag}</option>)}</select>
        <button type="submit">Add</button>
      </div>
    </form>
  );
}

function Messages({ chat, reply, change }: { chat: Chat; reply: (message: ChatMessage) => void; change: (message: ChatMessage) => void }): JSX.Element {
  const box = useRef<HTMLDivElement>(null);
  const last = chat.messages[chat.messages.length - 1]?.message_id ?? 0;
  const toEnd = (): void => {
    if (box.current !== null) box.current.scrollTop = box.current.scrollHeight;
  };
  useLayoutEffect(toEnd, [last]);
  const rows: JSX.Element[] = [];
  let before = '';
  for (const message of chat.messages) {
    const at = new Date(message.date * 1000).toISOString();
    if (dayKey(at) !== before) rows.push(<div class="day" key={`day ${message.message_id}`}><span>{day(at, LOCALE, Date.now())}</span></div>);
    before = dayKey(at);
    rows.push(<Bubble key={message.message_id} chat={chat} message={message} reply={reply} edit={change} />);
  }
  return <div class="messages" ref={box} role="log" aria-live="polite" aria-label="Chat" tabIndex={0} onLoadCapture={toEnd}>{rows}</div>;
}

function Telegram({ chat }: { chat: Chat }): JSX.Element {
  const text = useSignal('');
  const editing = useSignal(0);
  const replying = useSignal(0);
  const attaching = useSignal(false);
  const field = useRef<HTMLInputElement>(null);
  const picker = useRef<HTMLInputElement>(null);
  const user = chat.chat_id;
  useEffect(() => field.current?.focus(), []);

  const set = (value: string): void => {
    text.value = value;
  };
  const clear = (): void => {
    set('');
    editing.value = replying.value = 0;
  };
  const send = async (): Promise<void> => {
    const words = text.value.trim();
    if (words === '') return;
    const done = editing.value > 0 ? await edit(user, editing.value, words) : await write(user, { text: words }, replying.value);
    if (done) clear();
  };
  const attach = (work: () => Promise<unknown>): void => {
    attaching.value = false;
    void work().then(clear, (error: unknown) => (problem.value = String(error)));
  };
  const target = chat.messages.find((one) => one.message_id === (editing.value || replying.value));
  return (
    <>
      <header>
        <span class="face bot" aria-hidden="true">{[...bot.value][0]}</span>
        <div><h2 dir="auto">{bot.value}</h2><p>{connected.value ? 'bot' : 'waiting for network…'}</p></div>
        <button type="button" class="quiet" onClick={() => void block(user, !chat.blocked)}>{chat.blocked ? 'Unblock' : 'Block'}</button>
      </header>
      <Messages
        chat={chat}
        reply={(message) => {
          editing.value = 0;
          replying.value = message.message_id;
          field.current?.focus();
        }}
        change={(message) => {
          replying.value = 0;
          editing.value = message.message_id;
          set(message.text ?? message.caption ?? '');
          field.current?.focus();
        }}
      />
      <p class="problem" role="alert">{problem.value}</p>
      {target !== undefined && (
        <p class="target"><span dir="auto"><b>{editing.value > 0 ? 'Edit' : 'Reply to'}</b> {target.text ?? target.caption ?? '…'}</span><button type="button" aria-label="Cancel" onClick={clear}>×</button></p>
      )}
      {attaching.value && (
        <div class="attach" role="menu" aria-label="Attach">
          <button type="button" role="menuitem" onClick={() => attach(async () => { const made = drawSample(); await sendPhoto(user, made.data, made.mime, text.value.trim()); })}>🖼 Sample photo</button>
          <button type="button" role="menuitem" onClick={() => picker.current?.click()}>📁 Photo from this computer</button>
          <button type="button" role="menuitem" onClick={() => attach(() => write(user, { location: { latitude: 45.4642, longitude: 9.19 } }, 0))}>📍 Location</button>
          <button type="button" role="menuitem" onClick={() => attach(() => write(user, { contact_own: '+39333000' + String(user % 10_000).padStart(4, '0') }, 0))}>👤 My phone number</button>
          <button type="button" role="menuitem" onClick={() => attach(() => write(user, { sticker: '🎉' }, 0))}>🎉 Sticker</button>
        </div>
      )}
      <input
        ref={picker} type="file" accept="image/jpeg,image/png,image/webp" class="hidden" tabIndex={-1} aria-hidden="true"
        onChange={(event) => {
          const file = event.currentTarget.files?.[0];
          event.currentTarget.value = '';
          if (file !== undefined) attach(async () => { const made = await readPicture(file); await sendPhoto(user, made.data, made.mime, text.value.trim()); });
        }}
      />
      {chat.blocked ? (
        <button type="button" class="blocked" onClick={() => void block(user, false)}>You blocked this bot. Unblock</button>
      ) : (
        <form
          class="composer"
          onSubmit={(event) => {
            event.preventDefault();
            void send();
          }}
        >
          <button type="button" aria-label="Attach" aria-expanded={attaching.value} onClick={() => (attaching.value = !attaching.value)}>
            <svg viewBox="0 0 24 24" width="22" height="22" fill="none" stroke="currentColor" stroke-width="1.8" stroke-linecap="round" aria-hidden="true"><path d="M19.5 11.5 12 19a4.7 4.7 0 0 1-6.7-6.7l7.8-7.8a3.1 3.1 0 0 1 4.4 4.4l-7.7 7.7a1.6 1.6 0 0 1-2.2-2.2l7-7" /></svg>
          </button>
          <input ref={field} aria-label="Message" placeholder="Message" dir="auto" autocomplete="off" maxLength={4096} value={text.value} onInput={(event) => set(event.currentTarget.value)} />
          <button type="submit" class="send" aria-label="Send" disabled={text.value.trim() === ''}>
            <svg viewBox="0 0 24 24" width="20" height="20" fill="currentColor" aria-hidden="true"><path d="M3.4 20.4 21.5 12.7a.8.8 0 0 0 0-1.4L3.4 3.6a.7.7 0 0 0-1 .9L5 11l9 1-9 1-2.6 6.5a.7.7 0 0 0 1 .9Z" /></svg>
          </button>
        </form>
      )}
    </>
  );
}
