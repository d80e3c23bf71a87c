/** The Telegram simulator, which is older than the common interface: its chats as people and lines. */
import { signal } from '@preact/signals';

import { answerOf, followEvents, post, type Line, type NewLine, type Phones, type Sim, type SimFile } from './sim.ts';

interface Button { text: string; callback_data?: string }
interface ChatMessage {
  message_id: number;
  from_bot: boolean;
  date: number;
  text?: string;
  caption?: string;
  photo?: boolean;
  video?: boolean;
  audio?: boolean;
  voice?: boolean;
  document?: boolean;
  emoji?: string;
  file_id?: string;
  file_name?: string;
  location?: { latitude: number; longitude: number };
  contact?: { phone_number: string; first_name?: string };
  reply_markup?: { inline_keyboard?: Button[][] };
  reply_to_message_id?: number;
  edited?: boolean;
  deleted?: boolean;
  reactions?: Record<string, string[]>;
}
interface Chat {
  chat_id: number;
  user: { first_name: string; last_name?: string; language_code?: string };
  blocked?: boolean;
  messages: ChatMessage[];
}
interface Snapshot { chats: Chat[]; pos?: number }

const FEATURES: ReadonlySet<string> = new Set(['files', 'edit', 'react', 'press', 'location', 'contact', 'sticker', 'block']);

function filesOf(message: ChatMessage): readonly SimFile[] {
  if (message.file_id === undefined || message.emoji !== undefined) return [];
  const mime = message.photo ? 'image/jpeg' : message.voice || message.audio ? 'audio/ogg' : message.video ? 'video/mp4' : 'application/octet-stream';
  return [{ id: message.file_id, mime, ...(message.file_name === undefined ? {} : { name: message.file_name }) }];
}

function lineOf(chat: Chat, message: ChatMessage): Line {
  const text = message.text ?? message.caption;
  const options = (message.reply_markup?.inline_keyboard ?? []).flat().flatMap((button) => (button.callback_data === undefined ? [] : [{ id: button.callback_data, label: button.text }]));
  const reactions = Object.entries(message.reactions ?? {}).map(([who, emoji]) => [who === 'user' ? String(chat.chat_id) : who, emoji.join(' ')] as const);
  return {
    id: `${chat.chat_id}:${message.message_id}`,
    person: String(chat.chat_id),
    from_shop: message.from_bot,
    at: message.date,
    status: message.from_bot ? '' : 'read',
    files: filesOf(message),
    options,
    reactions: Object.fromEntries(reactions),
    ...(text === undefined ? {} : { text }),
    ...(message.emoji === undefined ? {} : { sticker: message.emoji }),
    ...(message.location === undefined ? {} : { location: message.location }),
    ...(message.contact === undefined ? {} : { contact: { name: message.contact.first_name ?? '', phone: message.contact.phone_number } }),
    ...(message.reply_to_message_id === undefined ? {} : { reply_to: `${chat.chat_id}:${message.reply_to_message_id}` }),
    ...(message.edited ? { edited: true } : {}),
    ...(message.deleted ? { deleted: true } : {}),
  };
}

function contentOf(line: NewLine): object {
  const [file] = line.files ?? [];
  const caption = line.text === undefined || line.text === '' ? {} : { caption: line.text };
  if (file !== undefined) {
    return file.mime.startsWith('image/') ? { photo: file.data, ...caption } : { document: file.data, name: file.name ?? 'file', mime: file.mime, ...caption };
  }
  if (line.location !== undefined) return { location: line.location };
  if (line.contact !== undefined) return { contact_own: line.contact.phone };
  if (line.sticker !== undefined) return { sticker: line.sticker };
  return { text: line.text ?? '' };
}

function numberOf(line: string): number {
  return Number(line.slice(line.indexOf(':') + 1));
}

export function telegramSim(title: string, base: string): Sim {
  const control = `${base}/control`;
  const phones = signal<Phones>({ people: [], lines: [], features: FEATURES });
  const connected = signal(false);

  const refresh = async (): Promise<number> => {
    const state = await answerOf<Snapshot>(fetch(`${control}/state`));
    const people = state.chats.map((chat) => ({
      id: String(chat.chat_id),
      name: [chat.user.first_name, chat.user.last_name].filter((part) => part !== undefined && part !== '').join(' '),
      language: chat.user.language_code ?? '',
      online: true,
      blocked: chat.blocked ?? false,
    }));
    phones.value = { people, lines: state.chats.flatMap((chat) => chat.messages.map((message) => lineOf(chat, message))), features: FEATURES };
    return state.pos ?? -1;
  };
  const act = async (person: string, what: string, body: object): Promise<void> => {
    await post(`${control}/users/${person}/${what}`, body);
    await refresh();
  };
  const never = (): Promise<void> => Promise.reject(new Error('Telegram has nothing of this kind.'));
  return {
    kind: 'telegram',
    title,
    phones,
    connected,
    follow: (stop) => followEvents(control, connected, refresh, stop),
    addPerson: async (name, language) => {
      const [first = '', ...rest] = name.split(/\s+/u);
      const last = rest.join(' ');
      const made = await post<{ user_id: number }>(`${control}/users`, { first_name: first, ...(last === '' ? {} : { last_name: last }), language_code: language });
      await refresh();
      return String(made.user_id);
    },
    write: (person, line) => act(person, 'message', { ...contentOf(line), ...(line.reply_to === undefined ? {} : { reply_to_message_id: numberOf(line.reply_to) }) }),
    edit: (person, line, text) => act(person, 'edit', { message_id: numberOf(line), text }),
    remove: never,
    react: (person, line, emoji) => act(person, 'react', { message_id: numberOf(line), emoji }),
    press: (person, line, option) => act(person, 'press', { message_id: numberOf(line), data: option }),
    read: () => Promise.resolve(),
    network: never,
    block: (person, blocked) => act(person, blocked ? 'block' : 'unblock', {}),
    fileUrl: (file) => `${control}/file/${encodeURIComponent(file)}`,
  };
}
