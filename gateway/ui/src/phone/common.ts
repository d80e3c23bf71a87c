/** Every simulator that has the common control interface. */
import { signal } from '@preact/signals';

import { answerOf, followEvents, post, type Line, type Person, type Phones, type Sim } from './sim.ts';

interface Snapshot { features: string[]; people: Person[]; lines: Line[]; pos: number }

export function commonSim(kind: string, title: string, base: string): Sim {
  const control = `${base}/control`;
  const phones = signal<Phones>({ people: [], lines: [], features: new Set() });
  const connected = signal(false);

  const refresh = async (): Promise<number> => {
    const state = await answerOf<Snapshot>(fetch(`${control}/state`));
    phones.value = { people: state.people, lines: state.lines, features: new Set([...state.features, 'network', 'block']) };
    return state.pos;
  };
  const act = async (person: string, what: string, body: object): Promise<void> => {
    await post(`${control}/people/${encodeURIComponent(person)}/${what}`, body);
    await refresh();
  };
  return {
    kind,
    title,
    phones,
    connected,
    follow: (stop) => followEvents(control, connected, refresh, stop),
    addPerson: async (name, language) => {
      const made = await post<{ id: string }>(`${control}/people`, { name, language });
      await refresh();
      return made.id;
    },
    write: (person, line) => act(person, 'messages', line),
    edit: (person, line, text) => act(person, 'edit', { line, text }),
    remove: (person, line) => act(person, 'delete', { line }),
    react: (person, line, emoji) => act(person, 'react', { line, emoji }),
    press: (person, line, option) => act(person, 'press', { line, option }),
    read: (person) => act(person, 'read', {}),
    network: (person, online) => act(person, 'network', { online }),
    block: (person, blocked) => act(person, 'block', { blocked }),
    fileUrl: (file) => `${control}/file/${encodeURIComponent(file)}`,
  };
}
