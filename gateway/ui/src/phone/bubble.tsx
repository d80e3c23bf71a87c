import { useSignal } from '@preact/signals';
import type { JSX } from 'preact';

import { LinkedText } from '../common/linked-text.tsx';
import { clock, full } from '../common/time.ts';
import { LOCALE, bot, fileUrl, ownPictures, press, react, type Chat, type ChatMessage } from './telegram.ts';

const EMOJI: readonly string[] = ['👍', '❤', '🔥', '😁', '😢'];

interface Props {
  chat: Chat;
  message: ChatMessage;
  edit: (message: ChatMessage) => void;
  reply: (message: ChatMessage) => void;
}

function Picture({ chat, message }: { chat: Chat; message: ChatMessage }): JSX.Element {
  const broken = useSignal(false);
  const own = ownPictures.value.get(`${chat.chat_id}/${message.message_id}`);
  const source = own ?? (message.file_id ? fileUrl(message.file_id) : '');
  if (source === '' || broken.value) return <div class="no-picture" role="img" aria-label="Photo">Photo</div>;
  return <img class="picture" src={source} alt="Photo" onError={() => (broken.value = true)} />;
}

function Attached({ chat, message }: { chat: Chat; message: ChatMessage }): JSX.Element | null {
  if (message.photo) return <Picture chat={chat} message={message} />;
  if (message.sticker) return <p class="sticker">{message.emoji || '🙂'}</p>;
  if (message.location) {
    const { latitude, longitude } = message.location;
    return <p class="file">📍 {latitude.toFixed(4)}, {longitude.toFixed(4)}</p>;
  }
  if (message.contact) return <p class="file">👤 <bdi>{message.contact.first_name} {message.contact.phone_number}</bdi></p>;
  const kind = message.document ? '📎' : message.voice || message.audio ? '🎙' : message.video ? '🎞' : '';
  return kind === '' ? null : <p class="file">{kind} <bdi>{message.file_name ?? 'File'}</bdi></p>;
}

function Buttons({ chat, message }: { chat: Chat; message: ChatMessage }): JSX.Element | null {
  const rows = message.reply_markup?.inline_keyboard ?? [];
  if (rows.length === 0) return null;
  return (
    <div class="keyboard">
      {rows.map((row, index) => (
        <div key={index}>
          {row.map((button) => (
            <button
              key={button.callback_data ?? button.text} type="button" dir="auto" disabled={chat.blocked || button.callback_data === undefined}
              onClick={() => button.callback_data !== undefined && void press(chat.chat_id, message.message_id, button.callback_data)}
            >
              {button.text}
            </button>
          ))}
        </div>
      ))}
    </div>
  );
}

function preview(message: ChatMessage | undefined): string {
  return message?.text ?? message?.caption ?? (message?.photo ? 'Photo' : '…');
}

export function Bubble({ chat, message, edit, reply }: Props): JSX.Element {
  const at = new Date(message.date * 1000).toISOString();
  const quoted = message.reply_to_message_id === undefined ? undefined : chat.messages.find((one) => one.message_id === message.reply_to_message_id);
  const mine = message.reactions?.['user'] ?? [];
  const all = Object.values(message.reactions ?? {}).flat();
  const text = message.text ?? message.caption ?? '';
  return (
    <div class={`message ${message.from_bot ? 'theirs' : 'mine'}`} data-message={message.message_id}>
      <div class="bubble">
        {quoted !== undefined && <blockquote dir="auto"><b>{quoted.from_bot ? bot.value : chat.user.first_name}</b>{preview(quoted)}</blockquote>}
        {message.deleted ? <p class="text gone">Deleted</p> : <><Attached chat={chat} message={message} />{text !== '' && <LinkedText text={text} />}</>}
        <span class="meta">
          {all.length > 0 && <span class="reactions">{all.join(' ')}</span>}
          {message.edited && 'edited '}
          <time dateTime={at} title={full(at, LOCALE)}>{clock(at, LOCALE)}</time>
          {!message.from_bot && <span class="ticks" aria-label="sent">✓✓</span>}
        </span>
        {!message.deleted && !chat.blocked && (
          <div class="tools" role="toolbar" aria-label="Message">
            {message.from_bot && EMOJI.map((emoji) => (
              <button key={emoji} type="button" aria-pressed={mine.includes(emoji)} aria-label={`React ${emoji}`} onClick={() => void react(chat.chat_id, message.message_id, mine.includes(emoji) ? '' : emoji)}>{emoji}</button>
            ))}
            <button type="button" onClick={() => reply(message)}>Reply</button>
            {!message.from_bot && text !== '' && <button type="button" onClick={() => edit(message)}>Edit</button>}
          </div>
        )}
      </div>
      {!message.deleted && <Buttons chat={chat} message={message} />}
    </div>
  );
}
