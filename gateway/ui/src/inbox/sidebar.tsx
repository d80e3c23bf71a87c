import type { JSX } from 'preact';

import type { Presence } from '../common/types.ts';
import { Avatar, Menu } from './bits.tsx';
import { LanguageMenu, Logo } from './brand.tsx';
import { Icon, type IconName } from './icons.tsx';
import { helpOpen } from './screen.ts';
import { complain, everything, feed, find, inView, live, loadResolved, logOut, me, setPresence, view, viewer, type View } from './store.ts';
import { t } from './texts.ts';

const VIEWS: readonly (readonly [View, IconName])[] = [
  ['mine', 'mine'], ['waiting', 'waiting'], ['open', 'open'], ['snoozed', 'snoozed'], ['resolved', 'resolved'],
];
const PRESENCES: readonly Presence[] = ['online', 'away', 'offline'];

function go(next: View): void {
  view.value = next;
  find.value = '';
  if (next === 'resolved') void loadResolved().catch(complain);
}

function Entry({ which, icon, label }: { which: View; icon: IconName; label: string }): JSX.Element {
  const count = which === 'resolved' ? 0 : everything.value.filter((item) => inView(item, which, viewer.value.id)).length;
  const here = view.value === which && find.value === '';
  return (
    <li>
      <button type="button" class={`entry${here ? ' here' : ''}`} aria-current={here ? 'page' : undefined} title={label} onClick={() => go(which)}>
        <Icon name={icon} />
        {icon === 'queue' && <span class="initial" aria-hidden="true">{[...label][0]}</span>}
        <span class="word" dir="auto">{label}</span>
        {count > 0 && <span class="count">{count}</span>}
      </button>
    </li>
  );
}

function Line(): JSX.Element {
  const state = live.value;
  return (
    <p class={`line-state ${state}`} role="status" title={t(`live_${state}`)}>
      <span class="dot" aria-hidden="true" /> <span class="word">{t(`live_${state}`)}</span>
    </p>
  );
}

export function Sidebar(): JSX.Element {
  const agent = me.value;
  const queues = [...feed.value.queues.values()].filter((queue) => viewer.value.role !== 'agent' || viewer.value.queues.has(queue.id));
  const presence = agent?.presence ?? 'offline';
  return (
    <nav class="sidebar" aria-label={t('navigation')}>
      <div class="brand"><Logo /><span class="word">Sportello</span></div>
      <ul>{VIEWS.map(([which, icon]) => <Entry key={which} which={which} icon={icon} label={t(`view_${which}`)} />)}</ul>
      <h2 class="word">{t('queues')}</h2>
      <ul class="queues">
        {queues.map((queue) => <Entry key={queue.id} which={`queue:${queue.id}`} icon="queue" label={queue.name} />)}
      </ul>
      <div class="foot">
        <Line />
        <Menu
          class="self" up selfNamed label={t('presence')}
          button={
            <>
              <span class={`face ${presence}`}><Avatar name={agent?.name ?? ''} seed={agent?.id ?? ''} /></span>
              <span class="word who"><bdi>{agent?.name}</bdi> <small>{t(presence)}</small></span>
              <Icon name="down" size={16} />
            </>
          }
          items={PRESENCES.map((key) => ({ key, label: t(key), on: key === presence }))}
          pick={(key) => void setPresence(key as Presence)}
        />
        <div class="tools">
          <LanguageMenu up />
          <button type="button" class="plain" aria-label={t('shortcuts')} title={`${t('shortcuts')} (?)`} onClick={() => (helpOpen.value = true)}><Icon name="help" size={18} /></button>
          <button type="button" class="plain" aria-label={t('log_out')} title={t('log_out')} onClick={() => void logOut()}><Icon name="out" size={18} /></button>
        </div>
      </div>
    </nav>
  );
}
