/** "Go on in Telegram": a link that brings the visitor, and what was said, to another channel of the shop's. */
import { useSignal } from '@preact/signals';
import type { JSX } from 'preact';

import type { Translate } from '../common/i18n.ts';
import type { VisitorChat } from './chat.ts';
import { addressOf } from './way.ts';

export function Ways({ chat, t }: { chat: VisitorChat; t: Translate }): JSX.Element | null {
  const failed = useSignal(false);
  if (chat.ways.value.length === 0 || chat.chat.value.messages.length === 0) return null;
  const go = (channel: string): void => {
    // Opened at once: a page may not do so later, when the answer is there.
    const page = window.open('', '_blank');
    if (page !== null) page.opener = null;
    void addressOf(chat.session, channel).catch(() => '').then((url) => {
      failed.value = url === '';
      if (url === '') page?.close();
      else if (page === null) location.assign(url);
      else page.location.replace(url);
    });
  };
  return (
    <p class="meta">
      {chat.ways.value.map((way) => <button type="button" class="retry" key={way.channel} onClick={() => go(way.channel)}>{t('go_on', { title: way.title })}</button>)}
      {failed.value ? ` ${t('failed')}` : ''}
    </p>
  );
}
