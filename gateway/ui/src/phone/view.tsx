import { signal, useSignal } from '@preact/signals';
import type { JSX } from 'preact';
import { useEffect, useLayoutEffect, useRef } from 'preact/hooks';

import { day, dayKey } from '../common/time.ts';
import { Bubble } from './bubble.tsx';
import { drawSample, readFile } from './picture.ts';
import { LOCALE, attempt, problem, type Line, type NewLine, type Person, type Sim } from './sim.ts';

const kind = signal('');
/** Who is looked at, by channel. */
const chosen = signal<Readonly<Record<string, string>>>({});
/** What a shop might have posted, for comments. */
const POST = 'New: hand-made espresso cups';
const NAMES: Readonly<Record<string, string>> = {
  telegram: 'Telegram', sms: 'SMS', whatsapp: 'WhatsApp', whatsapp_twilio: 'WhatsApp (Twilio)', email: 'E-mail', messenger: 'Messenger', instagram: 'Instagram',
};

function choose(sim: Sim, person: string): void {
  chosen.value = { ...chosen.value, [sim.kind]: person };
}

export function App({ sims }: { sims: readonly Sim[] }): JSX.Element {
  const sim = sims.find((one) => one.kind === kind.value) ?? sims[0];
  useEffect(() => {
    const stop = new AbortController();
    void sim?.follow(stop.signal);
    return () => stop.abort();
  }, [sim]);
  if (sim === undefined) return <p class="nobody">This server simulates no channel.</p>;
  const { people } = sim.phones.value;
  const person = people.find((one) => one.id === chosen.value[sim.kind]) ?? people[people.length - 1];
  return (
    <div class="desk">
      <nav class="demo" aria-label="Demo">
        <strong>Sportello demo</strong>
        <a href="/">Shop</a><a href="/inbox/">Agents' inbox</a><a href="/phone/" aria-current="page">Shopper's phone</a>
      </nav>
      <aside class="people">
        <h1>Who is writing?</h1>
        <p>Play a shopper. The agents' answers come back here, on the same channel.</p>
        <div class="channels" role="group" aria-label="Channel">
          {sims.map((one) => (
            <button key={one.kind} type="button" class={`kind-${one.kind}`} aria-pressed={one === sim} onClick={() => (kind.value = one.kind)}>{NAMES[one.kind] ?? one.kind}</button>
          ))}
        </div>
        <ul>
          {people.map((one, index) => (
            <li key={one.id}>
              <button type="button" class={one === person ? 'here' : ''} aria-pressed={one === person} onClick={() => choose(sim, one.id)}>
                <span class={`face hue-${index % 6}`} aria-hidden="true">{[...one.name][0]}</span>
                <bdi>{one.name}</bdi>
                <small>{one.language.toUpperCase()}</small>
              </button>
            </li>
          ))}
        </ul>
        <NewShopper sim={sim} />
        {person === undefined && <p class="problem" role="alert">{problem.value}</p>}
      </aside>
      <main class={`phone kind-${sim.kind}`} aria-label="Phone">
        <div class="glass">{person === undefined ? <div class="nobody"><p>Add a shopper to begin.</p></div> : <Chat key={`${sim.kind} ${person.id}`} sim={sim} person={person} />}</div>
      </main>
    </div>
  );
}

function NewShopper({ sim }: { sim: Sim }): JSX.Element {
  return (
    <form
      class="new"
      onSubmit={(event) => {
        event.preventDefault();
        const form = event.currentTarget;
        const data = new FormData(form);
        const name = String(data.get('name') ?? '').trim();
        if (name === '') return;
        void attempt(async () => choose(sim, await sim.addPerson(name, String(data.get('language') ?? 'en')))).then((done) => done && form.reset());
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

interface LogProps { sim: Sim; person: Person; lines: readonly Line[]; reply: (line: Line) => void; change: (line: Line) => void }

function Log({ sim, person, lines, reply, change }: LogProps): JSX.Element {
  const box = useRef<HTMLDivElement>(null);
  const last = lines[lines.length - 1]?.id ?? '';
  const toEnd = (): void => {
    if (box.current !== null) box.current.scrollTop = box.current.scrollHeight;
  };
  useLayoutEffect(toEnd, [last]);
  const rows: JSX.Element[] = [];
  let before = '';
  for (const line of lines) {
    const at = new Date(line.at * 1000).toISOString();
    if (dayKey(at) !== before) rows.push(<div class="day" key={`day ${line.id}`}><span>{day(at, LOCALE, Date.now())}</span></div>);
    before = dayKey(at);
    rows.push(<Bubble key={line.id} sim={sim} person={person} line={line} reply={reply} edit={change} />);
  }
  return <div class="messages" ref={box} role="log" aria-live="polite" aria-label="Chat" tabIndex={0} onLoadCapture={toEnd}>{rows}</div>;
}

function Header({ sim, person }: { sim: Sim; person: Person }): JSX.Element {
  const features = sim.phones.value.features;
  const state = !sim.connected.value ? 'waiting for the simulator…' : person.online ? NAMES[sim.kind] ?? sim.kind : 'no network';
  return (
    <header>
      <span class="face bot" aria-hidden="true">{[...sim.title][0]}</span>
      <div><h2 dir="auto">{sim.title}</h2><p>{state}</p></div>
      {features.has('network') && (
        <button type="button" class="quiet" aria-pressed={!person.online} onClick={() => void attempt(() => sim.network(person.id, !person.online))}>{person.online ? 'Lose network' : 'Find network'}</button>
      )}
      {features.has('block') && (
        <button type="button" class="quiet" onClick={() => void attempt(() => sim.block(person.id, !person.blocked))}>{person.blocked ? 'Unblock' : 'Block'}</button>
      )}
    </header>
  );
}

function Attach({ sim, person, send, done }: { sim: Sim; person: Person; send: (line: NewLine) => void; done: () => void }): JSX.Element {
  const features = sim.phones.value.features;
  const picker = useRef<HTMLInputElement>(null);
  const give = (line: NewLine): void => {
    done();
    send(line);
  };
  const phone = '+39333000' + String(person.id.length * 1117 + (person.id.codePointAt(person.id.length - 1) ?? 0)).slice(-4).padStart(4, '0');
  return (
    <div class="attach" role="menu" aria-label="Attach">
      <button type="button" role="menuitem" onClick={() => give({ files: [drawSample()] })}>🖼 Sample photo</button>
      <button type="button" role="menuitem" onClick={() => picker.current?.click()}>📁 File from this computer</button>
      {features.has('location') && <button type="button" role="menuitem" onClick={() => give({ location: { latitude: 45.4642, longitude: 9.19 } })}>📍 Location</button>}
      {features.has('contact') && <button type="button" role="menuitem" onClick={() => give({ contact: { name: person.name, phone } })}>👤 My phone number</button>}
      {features.has('sticker') && <button type="button" role="menuitem" onClick={() => give({ sticker: '🎉' })}>🎉 Sticker</button>}
      <input
        ref={picker} type="file" class="hidden" tabIndex={-1} aria-hidden="true"
        onChange={(event) => {
          const file = event.currentTarget.files?.[0];
          if (file !== undefined) void readFile(file).then((made) => give({ files: [made] }), (error: unknown) => (problem.value = String(error)));
        }}
      />
    </div>
  );
}

function Chat({ sim, person }: { sim: Sim; person: Person }): JSX.Element {
  const text = useSignal('');
  const subject = useSignal('');
  const editing = useSignal('');
  const replying = useSignal('');
  const attaching = useSignal(false);
  const aloud = useSignal(false);
  const field = useRef<HTMLInputElement>(null);
  const features = sim.phones.value.features;
  const lines = sim.phones.value.lines.filter((line) => line.person === person.id);
  const unread = person.online && features.has('read') && lines.some((line) => line.from_shop && line.status === 'delivered');
  useEffect(() => field.current?.focus(), []);
  useEffect(() => {
    if (unread && document.visibilityState === 'visible') void attempt(() => sim.read(person.id));
  }, [unread]);

  const clear = (): void => {
    text.value = editing.value = replying.value = subject.value = '';
  };
  const send = async (extra: NewLine): Promise<void> => {
    const words = text.value.trim();
    if (words === '' && Object.keys(extra).length === 0) return;
    const line: NewLine = {
      ...extra,
      ...(words === '' ? {} : { text: words }),
      ...(replying.value === '' ? {} : { reply_to: replying.value }),
      ...(subject.value.trim() === '' ? {} : { subject: subject.value.trim() }),
      ...(aloud.value ? { post: POST } : {}),
    };
    const edited = editing.value;
    const done = await attempt(() => (edited === '' ? sim.write(person.id, line) : sim.edit(person.id, edited, words)));
    if (done) clear();
  };
  const target = lines.find((one) => one.id === (editing.value || replying.value));
  return (
    <>
      <Header sim={sim} person={person} />
      <Log
        sim={sim} person={person} lines={lines}
        reply={(line) => {
          editing.value = '';
          replying.value = line.id;
          field.current?.focus();
        }}
        change={(line) => {
          replying.value = '';
          editing.value = line.id;
          text.value = line.text ?? '';
          field.current?.focus();
        }}
      />
      <p class="problem" role="alert">{problem.value}</p>
      {target !== undefined && (
        <p class="target"><span dir="auto"><b>{editing.value !== '' ? 'Edit' : 'Reply to'}</b> {target.text ?? target.subject ?? '…'}</span><button type="button" aria-label="Cancel" onClick={clear}>×</button></p>
      )}
      {attaching.value && <Attach sim={sim} person={person} send={(line) => void send(line)} done={() => (attaching.value = false)} />}
      {person.blocked ? (
        <button type="button" class="blocked" onClick={() => void attempt(() => sim.block(person.id, false))}>You blocked this shop. Unblock</button>
      ) : (
        <form
          class="composer"
          onSubmit={(event) => {
            event.preventDefault();
            void send({});
          }}
        >
          {features.has('subject') && <input class="line" aria-label="Subject" placeholder="Subject" dir="auto" maxLength={200} value={subject.value} onInput={(event) => (subject.value = event.currentTarget.value)} />}
          {features.has('comment') && (
            <label class="line"><input type="checkbox" checked={aloud.value} onChange={(event) => (aloud.value = event.currentTarget.checked)} /> As a comment below “{POST}”, for everybody</label>
          )}
          {features.has('files') && (
            <button type="button" aria-label="Attach" aria-expanded={attaching.value} onClick={() => (attaching.value = !attaching.value)}>
              <svg viewBox="0 0 24 24" width="22" height="22" fill="none" stroke="currentColor" stroke-width="1.8" stroke-linecap="round" aria-hidden="true"><path d="M19.5 11.5 12 19a4.7 4.7 0 0 1-6.7-6.7l7.8-7.8a3.1 3.1 0 0 1 4.4 4.4l-7.7 7.7a1.6 1.6 0 0 1-2.2-2.2l7-7" /></svg>
            </button>
          )}
          <input ref={field} aria-label="Message" placeholder="Message" dir="auto" autocomplete="off" maxLength={4096} value={text.value} onInput={(event) => (text.value = event.currentTarget.value)} />
          <button type="submit" class="send" aria-label="Send" disabled={text.value.trim() === ''}>
            <svg viewBox="0 0 24 24" width="20" height="20" fill="currentColor" aria-hidden="true"><path d="M3.4 20.4 21.5 12.7a.8.8 0 0 0 0-1.4L3.4 3.6a.7.7 0 0 0-1 .9L5 11l9 1-9 1-2.6 6.5a.7.7 0 0 0 1 .9Z" /></svg>
          </button>
        </form>
      )}
    </>
  );
}
