import { useSignal } from '@preact/signals';
import type { JSX } from 'preact';
import { useEffect } from 'preact/hooks';

import { imitates } from '../common/letters.ts';
import { full, short } from '../common/time.ts';
import type { Candidate, Conversation, Decision, KnownIdentity, Message } from '../common/types.ts';
import { get, type Page } from './api.ts';
import { agentName, Avatar, ChannelMark, customerName, Dialog, queueName, shortValue } from './bits.tsx';
import { choose, loadPerson, others } from './conversation.ts';
import { Icon } from './icons.tsx';
import { detailsOpen, historyOpen } from './screen.ts';
import { complain, current, feed } from './store.ts';
import { locale, t } from './texts.ts';
import { lines } from './thread.tsx';

function IdentityRow({ known }: { known: KnownIdentity }): JSX.Element {
  const { identity, evidence } = known;
  // A name is a claim; of a mail or a phone the address itself is what counts.
  const address = identity.scheme === 'mailto' || identity.scheme === 'tel';
  return (
    <li>
      <span class="scheme">{identity.scheme}</span>
      <bdi class="value" title={identity.value}>{(address ? '' : known.name) || shortValue(identity)}</bdi>
      {imitates(identity.value) && <span class="evidence claimed" title={t('imitates_more')}>{t('imitates')}</span>}
      <span class={`evidence ${evidence}`} title={t(`evidence_${evidence}_more`)}>{t(`evidence_${evidence}`)}</span>
      {known.opted_out && <span class="evidence out">{t('opted_out')}</span>}
    </li>
  );
}

const VERDICTS = new Set(['eligible', 'online', 'away', 'offline', 'at capacity', 'disabled', 'bot']);

/** The server's word in the reader's language; a word that this page does not know is shown as it came. */
function verdict(one: Candidate): string {
  return VERDICTS.has(one.reason) ? t(`verdict_${one.reason.replace(' ', '_')}`) : one.reason;
}

/** The decision in one sentence, from its figures: the server's own sentence is English. */
function because(decision: Decision): string {
  const chosen = decision.candidates?.find((one) => one.agent_id === decision.agent_id);
  if (chosen !== undefined) return t('because_fewest', { name: chosen.name, n: chosen.open_count });
  return t((decision.candidates?.length ?? 0) > 0 ? 'because_busy' : 'because_empty');
}

function CandidateRow({ one, chosen }: { one: Candidate; chosen: boolean }): JSX.Element {
  return (
    <li class={chosen ? 'chosen' : one.eligible ? '' : 'not'}>
      <Icon name={chosen ? 'check' : one.eligible ? 'mine' : 'close'} size={14} />
      <bdi>{one.name}</bdi>
      <span class="load">{one.open_count}/{one.capacity}</span>
      <small>{verdict(one)}</small>
    </li>
  );
}

function Why({ decision }: { decision: Decision }): JSX.Element {
  return (
    <div class="why">
      <p><strong>{t(decision.outcome === 'assigned' ? 'was_assigned' : 'was_waiting', { name: agentName(decision.agent_id) })}</strong></p>
      <p>{because(decision)}</p>
      <p class="when">{queueName(decision.queue_id)} · {full(decision.at, locale.value)}</p>
      {(decision.candidates?.length ?? 0) > 0 && (
        <ul class="candidates">{decision.candidates?.map((one) => <CandidateRow key={one.agent_id} one={one} chosen={one.agent_id === decision.agent_id} />)}</ul>
      )}
    </div>
  );
}

function Others({ conversation }: { conversation: Conversation }): JSX.Element | null {
  if (others.value.customer !== conversation.customer_id) return null;
  const rows = others.value.items.filter((item) => item.id !== conversation.id);
  return (
    <section>
      <h3>{t('other_conversations')} <span class="count">{rows.length}</span></h3>
      <ul class="others">
        {rows.map((row) => (
          <li key={row.id}>
            <button type="button" onClick={() => void choose(row.id)}>
              <ChannelMark channel={row.channel} />
              <span class="preview" dir="auto">{row.preview || `#${row.number}`}</span>
              <time dateTime={row.updated_at}>{short(row.updated_at, locale.value, Date.now())}</time>
              <span class={`state ${row.state}`}>{t(`state_${row.state}`)}</span>
            </button>
          </li>
        ))}
      </ul>
      <button type="button" class="secondary" onClick={() => (historyOpen.value = true)}>{t('whole_history')}</button>
    </section>
  );
}

export function Details(): JSX.Element {
  const conversation = current.value;
  const customer = conversation?.customer_id ?? '';
  const person = feed.value.people.get(customer);
  const missing = customer !== '' && person === undefined;
  useEffect(() => {
    // After a merge the person is another one: look again.
    if (missing || others.value.customer !== customer) void loadPerson(customer).catch(complain);
  }, [customer, missing]);
  if (conversation === null) return <aside class="details" aria-label={t('details')} />;
  const name = customerName(conversation);
  const decisions = feed.value.decisions.get(conversation.id) ?? [];
  const [latest, ...former] = decisions;
  return (
    <aside class="details" aria-label={t('details')}>
      <button type="button" class="plain dismiss" aria-label={t('close')} onClick={() => (detailsOpen.value = false)}><Icon name="close" /></button>
      <div class="person">
        <Avatar name={name} seed={customer} large />
        <h2 dir="auto">{name}</h2>
        {person?.customer.language ? <p>{t('speaks', { language: languageName(person.customer.language) })}</p> : null}
      </div>
      <section>
        <h3>{t('identities')}</h3>
        <ul class="identities">{person?.identities.map((known) => <IdentityRow key={`${known.identity.scheme} ${known.identity.scope} ${known.identity.value}`} known={known} />)}</ul>
      </section>
      <Others conversation={conversation} />
      <section>
        <h3>{t('why_here')}</h3>
        {latest === undefined ? <p class="muted">{t('no_decision')}</p> : <Why decision={latest} />}
        {former.length > 0 && <details><summary>{t('former_decisions', { n: former.length })}</summary>{former.map((one) => <Why key={one.at} decision={one} />)}</details>}
      </section>
      {historyOpen.value && <WholeHistory customer={customer} name={name} />}
    </aside>
  );
}

function languageName(tag: string): string {
  try {
    return new Intl.DisplayNames([locale.value], { type: 'language' }).of(tag) ?? tag;
  } catch {
    return tag;
  }
}

/** Everything that was ever said with this person, over all channels. */
function WholeHistory({ customer, name }: { customer: string; name: string }): JSX.Element {
  const items = useSignal<readonly Message[]>([]);
  const more = useSignal(false);
  const fetchBefore = async (before?: number): Promise<void> => {
    try {
      const page = await get<Page<Message>>(`/customers/${customer}/history`, { before, limit: 100 });
      items.value = [...page.items, ...items.value];
      more.value = page.more ?? false;
    } catch (error) {
      complain(error);
    }
  };
  useEffect(() => void fetchBefore(), []);
  return (
    <Dialog wide title={t('history_of', { name })} close={() => (historyOpen.value = false)}>
      <div class="thread whole" tabIndex={0}>
        {more.value && <button type="button" class="more" onClick={() => void fetchBefore(items.value[0]?.pos)}>{t('earlier')}</button>}
        {lines(items.value, true)}
      </div>
    </Dialog>
  );
}
