import { useSignal } from '@preact/signals';
import type { JSX } from 'preact';
import { useEffect, useLayoutEffect, useRef } from 'preact/hooks';

import { day, dayKey } from '../common/time.ts';
import type { Conversation, Message } from '../common/types.ts';
import { customerName } from './bits.tsx';
import { loadEarlier, loadThread, markRead, outgoing } from './conversation.ts';
import { Icon } from './icons.tsx';
import { Line, OutgoingLine } from './message.tsx';
import { unshown } from './outgoing.ts';
import { complain, feed, viewer } from './store.ts';
import { locale, t } from './texts.ts';
import { typing } from './typing.ts';

/** Lines with day marks; lines of one author that follow each other closely are joined. */
export function lines(items: readonly Message[], showChannel = false): JSX.Element[] {
  const byId = new Map(items.map((item) => [item.id, item]));
  const out: JSX.Element[] = [];
  let before: Message | undefined;
  for (const item of items) {
    if (before === undefined || dayKey(before.at) !== dayKey(item.at)) {
      out.push(<div class="day" key={`day-${item.id}`}><span>{day(item.at, locale.value, Date.now())}</span></div>);
      before = undefined;
    }
    const joined =
      before !== undefined && before.kind === item.kind && before.author.id === item.author.id && before.conversation_id === item.conversation_id &&
      Date.parse(item.at) - Date.parse(before.at) < 300_000;
    out.push(<Line key={item.id} message={item} joined={joined} quoted={item.reply_to ? byId.get(item.reply_to) : undefined} showChannel={showChannel} />);
    before = item;
  }
  return out;
}

export function Thread({ conversation }: { conversation: Conversation }): JSX.Element {
  const box = useRef<HTMLDivElement>(null);
  const atEnd = useSignal(true);
  const lastTop = useRef(0);
  const thread = feed.value.threads.get(conversation.id);
  const going = unshown(outgoing.value.filter((item) => item.conversation === conversation.id), thread?.items ?? [], viewer.value.id);
  const writing = typing.value.has(conversation.id);
  const count = (thread?.items.length ?? 0) + going.length;
  const newest = thread?.items[thread.items.length - 1]?.id ?? '';
  const toEnd = (): void => {
    if (box.current !== null) box.current.scrollTop = box.current.scrollHeight;
  };

  const missing = thread === undefined;
  useEffect(() => {
    // Also after the feed has asked for everything anew.
    if (missing) void loadThread(conversation.id).catch(complain);
  }, [conversation.id, missing]);
  useLayoutEffect(() => {
    atEnd.value = true;
    toEnd();
  }, [conversation.id, missing]);
  useLayoutEffect(() => {
    if (atEnd.peek() || going.length > 0) toEnd();
  }, [count, newest, writing, going.map((item) => item.state).join()]);
  useEffect(() => {
    void markRead(conversation);
    const look = (): void => void markRead(conversation);
    document.addEventListener('visibilitychange', look);
    return () => document.removeEventListener('visibilitychange', look);
  }, [conversation.id, conversation.last_pos, conversation.seen_pos, conversation.assignee_id]);

  const earlier = async (): Promise<void> => {
    const element = box.current;
    const height = element?.scrollHeight ?? 0;
    await loadEarlier(conversation.id).catch(complain);
    // Keeps the line that was being read where it was.
    requestAnimationFrame(() => {
      if (element !== null) element.scrollTop += element.scrollHeight - height;
    });
  };

  return (
    <div class="thread-frame">
      <div
        id="thread" class="thread" ref={box} role="log" aria-live="polite" aria-label={t('history')} tabIndex={0}
        onScroll={(event) => {
          const element = event.currentTarget;
          // A picture that grows below is no reader who has scrolled away.
          if (element.scrollHeight - element.scrollTop - element.clientHeight < 80) atEnd.value = true;
          else if (element.scrollTop < lastTop.current - 2) atEnd.value = false;
          lastTop.current = element.scrollTop;
        }}
        onLoadCapture={() => atEnd.peek() && toEnd()}
      >
        {missing && <div class="loading" role="status">{t('loading')}</div>}
        {thread?.more && <button type="button" class="more" onClick={() => void earlier()}>{t('earlier')}</button>}
        {!missing && lines(thread.items)}
        {going.map((item) => <OutgoingLine key={item.key} item={item} />)}
        {writing && <p class="typing" dir="auto">{t('typing', { name: customerName(conversation) })}</p>}
      </div>
      {!atEnd.value && <button type="button" class="to-end" onClick={toEnd} aria-label={t('to_end')} title={t('to_end')}><Icon name="down" /></button>}
    </div>
  );
}
