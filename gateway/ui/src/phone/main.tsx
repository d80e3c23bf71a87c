import { render } from 'preact';

import { commonSim } from './common.ts';
import './phone.css';
import { answerOf, type Sim } from './sim.ts';
import { telegramSim } from './telegram.ts';
import { App } from './view.tsx';

interface Listed { kind: string; title: string; base: string }

const root = document.getElementById('app');
if (root !== null) {
  const listed = await answerOf<Listed[]>(fetch('/sim'));
  const sims: Sim[] = listed.map(({ kind, title, base }) => (kind === 'telegram' ? telegramSim(title, base) : commonSim(kind, title, base)));
  render(<App sims={sims} />, root);
}
