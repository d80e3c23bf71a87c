import { render } from 'preact';

import './tokens.css';
import './layout.css';
import './thread.css';
import { send } from './api.ts';
import { App } from './app.tsx';
import { complain, load, phase } from './store.ts';
import { language, speak } from './texts.ts';

/** `#login=<token>`: a one-time link, printed by the command line. The token leaves the address bar at once. */
async function useLink(): Promise<void> {
  const token = /^#login=([\w.~-]+)$/u.exec(location.hash)?.[1];
  if (token === undefined) return;
  history.replaceState(null, '', location.pathname);
  try {
    await send('POST', '/sessions/link', { token });
  } catch (error) {
    phase.value = 'login';
    complain(error);
  }
}

speak(language.value);
const root = document.getElementById('app');
if (root !== null) render(<App />, root);
addEventListener('hashchange', () => void useLink().then(load));
void useLink().then(load);
