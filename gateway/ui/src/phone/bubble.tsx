import { useSignal } from '@preact/signals';
import type { JSX } from 'preact';

import { LinkedText } from '../common/linked-text.tsx';
import { clock, full } from '../common/time.ts';
import { LOCALE, attempt, type Line, type Person, type Sim, type SimFile } from './sim.ts';

const EMOJI: readonly string[] = ['👍', '❤', '🔥', '😁', '😢'];
const SIGNS: Readonly<Record<string, string>> = { image: '🖼', video: '🎞', audio: '🎙' };
/** What stands beside the shopper's own lines, and beside the shop's where the provider tells the shop. */
const TICKS: Readonly<Record<string, string>> = { waiting: '🕓', '': '✓', sent: '✓', delivered: '✓✓', read: '✓✓', failed: '⚠' };

interface Props {
  sim: Sim;
  person: Person;
  line: Line;
  edit: (line: Line) => void;
  reply: (line: Line) => void;
}

function Attached({ sim, file }: { sim: Sim; file: SimFile }): JSX.Element {
  const broken = useSignal(false);
  const kind = file.mime.slice(0, file.mime.indexOf('/'));
  if (kind === 'image' && !broken.value) return <img class="picture" src={sim.fileUrl(file.id)} alt="Photo" onError={() => (broken.value = true)} />;
  return <p class="file"><a href={sim.fileUrl(file.id)} download={file.name ?? 'file'}>{SIGNS[kind] ?? '📎'} <bdi>{file.name ?? kind}</bdi></a></p>;
}

function Content({ sim, line }: { sim: Sim; line: Line }): JSX.Element {
  const text = line.text ?? '';
  return (
    <>
      {line.subject !== undefined && <p class="subject" dir="auto">{line.subject}</p>}
      {line.files?.map((file) => <Attached key={file.id} sim={sim} file={file} />)}
      {line.sticker !== undefined && <p class="sticker">{line.sticker}</p>}
      {line.location !== undefined && <p class="file">📍 {line.location.name ?? ''} {line.location.latitude.toFixed(4)}, {line.location.longitude.toFixed(4)}</p>}
      {line.contact !== undefined && <p class="file">👤 <bdi>{line.contact.name} {line.contact.phone}</bdi></p>}
      {text !== '' && <LinkedText text={text} />}
    </>
  );
}

function Options({ sim, person, line }: { sim: Sim; person: Person; line: Line }): JSX.Element | null {
  if (line.options === undefined || line.options.length === 0) return null;
  return (
    <div class="keyboard">
      {line.options.map((option) => (
        <div key={option.id}>
          <button type="button" dir="auto" disabled={person.blocked || !sim.phones.value.features.has('press')} onClick={() => void attempt(() => sim.press(person.id, line.id, option.id))}>
            {option.label}
            {option.description !== undefined && option.description !== '' && <small>{option.description}</small>}
          </button>
        </div>
      ))}
    </div>
  );
}

function Tools({ sim, person, line, edit, reply }: Props): JSX.Element | null {
  const features = sim.phones.value.features;
  if (line.deleted === true || person.blocked) return null;
  const mine = line.reactions?.[person.id] ?? '';
  return (
    <div class="tools" role="toolbar" aria-label="Message">
      {line.from_shop && features.has('react') && EMOJI.map((emoji) => (
        <button key={emoji} type="button" aria-pressed={mine === emoji} aria-label={`React ${emoji}`} onClick={() => void attempt(() => sim.react(person.id, line.id, mine === emoji ? '' : emoji))}>{emoji}</button>
      ))}
      <button type="button" onClick={() => reply(line)}>Reply</button>
      {!line.from_shop && features.has('edit') && (line.text ?? '') !== '' && <button type="button" onClick={() => edit(line)}>Edit</button>}
      {!line.from_shop && features.has('delete') && <button type="button" onClick={() => void attempt(() => sim.remove(person.id, line.id))}>Take back</button>}
    </div>
  );
}

function preview(line: Line): string {
  return line.text ?? line.subject ?? (line.files !== undefined && line.files.length > 0 ? 'File' : '…');
}

export function Bubble({ sim, person, line, edit, reply }: Props): JSX.Element {
  const at = new Date(line.at * 1000).toISOString();
  const quoted = line.reply_to === undefined ? undefined : sim.phones.value.lines.find((one) => one.id === line.reply_to);
  const all = Object.values(line.reactions ?? {}).filter((emoji) => emoji !== '');
  const status = line.status ?? '';
  return (
    <div class={`message ${line.from_shop ? 'theirs' : 'mine'}`} data-message={line.id}>
      <div class="bubble">
        {line.post !== undefined && <p class="post">Comment below “{line.post}”, for everybody</p>}
        {quoted !== undefined && <blockquote dir="auto"><b>{quoted.from_shop ? sim.title : person.name}</b>{preview(quoted)}</blockquote>}
        {line.deleted === true ? <p class="text gone">Deleted</p> : <Content sim={sim} line={line} />}
        <span class="meta">
          {all.length > 0 && <span class="reactions">{all.join(' ')}</span>}
          {line.edited === true && 'edited '}
          <time dateTime={at} title={full(at, LOCALE)}>{clock(at, LOCALE)}</time>
          {!line.from_shop && <span class={`ticks ${status}`} aria-label={status === 'waiting' ? 'waiting for network' : 'sent'}>{TICKS[status] ?? '✓'}</span>}
        </span>
        <Tools sim={sim} person={person} line={line} edit={edit} reply={reply} />
      </div>
      {line.deleted !== true && <Options sim={sim} person={person} line={line} />}
    </div>
  );
}
