import { useSignal } from '@preact/signals';
import type { JSX } from 'preact';
import { useEffect } from 'preact/hooks';

import { ApiError, send } from './api.ts';
import { LanguageMenu, Logo } from './brand.tsx';
import { Details } from './details.tsx';
import { Help } from './help.tsx';
import { listenToKeys } from './keys.ts';
import { List } from './list.tsx';
import { ConversationPane } from './pane.tsx';
import { Sidebar } from './sidebar.tsx';
import { detailsOpen, helpOpen } from './screen.ts';
import { everything, load, notice, phase, viewer } from './store.ts';
import { t } from './texts.ts';

export function App(): JSX.Element {
  return (
    <>
      {phase.value === 'starting' && <div class="starting" role="status"><Logo /><span class="hidden">{t('loading')}</span></div>}
      {phase.value === 'login' && <Login />}
      {phase.value === 'ready' && <Shell />}
      <div class={`toast${notice.value === '' ? '' : ' shown'}`} role="status" aria-live="polite">{notice.value}</div>
    </>
  );
}

function Shell(): JSX.Element {
  useEffect(listenToKeys, []);
  const waiting = everything.value.filter((item) => item.state === 'queued').length;
  const mine = everything.value.filter((item) => item.assignee_id === viewer.value.id && item.state === 'open' && (item.last_inbound_pos ?? 0) > (item.seen_pos ?? 0)).length;
  useEffect(() => {
    document.title = waiting + mine > 0 ? `(${waiting + mine}) Sportello` : 'Sportello';
  }, [waiting, mine]);
  return (
    <div class={`shell${detailsOpen.value ? ' with-details' : ''}`}>
      <a class="skip" href="#thread">{t('skip')}</a>
      <Sidebar />
      <List />
      <ConversationPane />
      {detailsOpen.value && <Details />}
      {helpOpen.value && <Help />}
    </div>
  );
}

function Login(): JSX.Element {
  const problem = useSignal('');
  const trying = useSignal(false);
  const submit = async (form: HTMLFormElement): Promise<void> => {
    const data = new FormData(form);
    trying.value = true;
    problem.value = '';
    try {
      await send('POST', '/sessions', { email: String(data.get('email') ?? ''), password: String(data.get('password') ?? '') });
      await load();
    } catch (error) {
      const code = error instanceof ApiError ? error.code : '';
      problem.value = code === 'bad_credentials' || code === 'too_many_attempts' || code === 'no_connection' ? t(code) : t('went_wrong');
    } finally {
      trying.value = false;
    }
  };
  return (
    <main class="login">
      <form
        onSubmit={(event) => {
          event.preventDefault();
          void submit(event.currentTarget);
        }}
      >
        <div class="brand"><Logo /> Sportello</div>
        <h1>{t('welcome')}</h1>
        <p class="lead">{t('welcome_more')}</p>
        <label for="email">{t('email')}</label>
        <input id="email" name="email" type="email" autocomplete="username" required autofocus />
        <label for="password">{t('password')}</label>
        <input id="password" name="password" type="password" autocomplete="current-password" required />
        <p class="problem" role="alert">{problem.value}</p>
        <button type="submit" class="primary" disabled={trying.value}>{t('log_in')}</button>
        <LanguageMenu />
      </form>
    </main>
  );
}
