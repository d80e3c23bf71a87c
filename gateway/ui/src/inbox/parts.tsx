/** The parts of a message as an agent sees them. Text is text; what came as HTML stays in a sandbox. */
import { useSignal } from '@preact/signals';
import type { JSX } from 'preact';
import { useMemo } from 'preact/hooks';

import { LinkedText } from '../common/linked-text.tsx';
import { SHOWABLE, sizeText } from '../common/size.ts';
import type { EnvelopePart, HtmlPart, MediaPart, Message, OrderPart, Part, ReferralPart, TextPart } from '../common/types.ts';
import { mediaUrl, pictureLinks } from './api.ts';
import { withPictures } from './far.ts';
import { Icon } from './icons.tsx';
import { locale, t } from './texts.ts';

/** Why there is nothing to open. */
function whyNot(part: MediaPart): string {
  if (part.withheld) return t('media_withheld', { found: String(part.withheld) });
  if (part.checking) return t('media_checking');
  return part.problem || t('media_pending');
}

function Media({ part }: { part: MediaPart }): JSX.Element {
  const label = part.name || t(`media_${part.kind}`);
  if (!part.stored) {
    return (
      <p class="file pending">
        <Icon name={part.problem ? 'warn' : 'clip'} size={17} /> <bdi>{label}</bdi>
        <small>{whyNot(part)}</small>
      </p>
    );
  }
  return <Stored part={part} href={mediaUrl(part.stored)} label={label} />;
}

/** A picture that cannot be shown now is a file like others. */
function Stored({ part, href, label }: { part: MediaPart; href: string; label: string }): JSX.Element {
  const broken = useSignal(false);
  const picture = (part.kind === 'image' || part.kind === 'sticker') && (!part.mime || SHOWABLE.has(part.mime));
  if (picture && !broken.value) {
    return (
      <span class="picture">
        <a href={href} target="_blank" rel="noopener noreferrer">
          <img src={href} alt={part.name || t('media_image')} loading="lazy" class={part.kind} onError={() => (broken.value = true)} />
        </a>
        <a class="save" href={`${href}?original=1`} download title={t('save_original')} aria-label={t('save_original')}><Icon name="save" size={17} /></a>
      </span>
    );
  }
  return (
    <a class="file" href={picture ? `${href}?original=1` : href} target="_blank" rel="noopener noreferrer">
      <Icon name="clip" size={17} /> <bdi>{label}</bdi> {part.size ? <small>{sizeText(part.size, locale.value)}</small> : null}
    </a>
  );
}

/** A mail's own words; what it quotes is folded away, never lost. */
function Words({ part }: { part: TextPart }): JSX.Element {
  const fold = part.fold ?? 0;
  if (fold === 0 || fold >= part.text.length) return <LinkedText text={part.text} />;
  return (
    <>
      <LinkedText text={part.text.slice(0, fold).trimEnd()} />
      <details class="folded"><summary>{t('quoted_mail')}</summary><LinkedText text={part.text.slice(fold).trim()} /></details>
    </>
  );
}

interface AsSentProps { part: HtmlPart; message: Message | undefined }

/** Pictures from afar are loaded by the gateway, and only once the agent asks for them. */
function AsSent({ part, message }: AsSentProps): JSX.Element {
  const links = useSignal<readonly string[]>([]);
  const problem = useSignal(false);
  const far = message !== undefined && (part.remote ?? []).length > 0;
  const ask = async (): Promise<void> => {
    if (message === undefined) return;
    problem.value = false;
    try {
      links.value = await pictureLinks(message.conversation_id, message.id);
    } catch {
      problem.value = true;
    }
  };
  const html = useMemo(() => withPictures(part.html, links.value), [part.html, links.value]);
  return (
    <details class="folded">
      <summary>{t('as_sent')}</summary>
      {far && links.value.length === 0 && (
        <p class="far">
          <button type="button" onClick={() => void ask()}><Icon name="clip" size={15} /> {t('show_pictures')}</button>
          <small>{t(problem.value ? 'went_wrong' : 'show_pictures_more')}</small>
        </p>
      )}
      <iframe class="as-sent" sandbox="" srcdoc={html} title={t('as_sent')} loading="lazy" />
    </details>
  );
}

function Addresses({ name, list }: { name: string; list: readonly string[] | undefined }): JSX.Element | null {
  return list === undefined || list.length === 0 ? null : <p class="addresses">{t(name)}: <bdi>{list.join(', ')}</bdi></p>;
}

function Envelope({ part }: { part: EnvelopePart }): JSX.Element {
  return (
    <div class="envelope">
      {part.subject ? <p class="subject" dir="auto">{part.subject}</p> : null}
      <Addresses name="mail_to" list={part.to} />
      <Addresses name="mail_cc" list={part.cc} />
      <Addresses name="mail_bcc" list={part.bcc} />
      {(part.remarks ?? []).map((remark) => <p key={remark} class={`remark ${remark}`}><Icon name="warn" size={14} /> {t(`remark_${remark}`)}</p>)}
    </div>
  );
}

function Order({ part }: { part: OrderPart }): JSX.Element {
  return (
    <div class="order">
      <p><b>{t('order')}</b></p>
      <ul>{part.items.map((item, index) => <li key={index}>{item.quantity} × <bdi>{item.product}</bdi> {item.price ? <small>{item.price} {item.currency}</small> : null}</li>)}</ul>
      {part.note ? <LinkedText text={part.note} /> : null}
    </div>
  );
}

function Referral({ part }: { part: ReferralPart }): JSX.Element {
  const words = part.headline || part.body || part.url || part.id || '';
  const safe = part.url !== undefined && /^https?:/u.test(part.url) ? part.url : undefined;
  return (
    <p class="referral">
      {t('came_from', { source: t(`source_${part.source}`) })}{' '}
      {safe === undefined ? <bdi>{words}</bdi> : <a href={safe} target="_blank" rel="noopener noreferrer nofollow"><bdi>{words}</bdi></a>}
    </p>
  );
}

export function PartView({ part, message }: { part: Part; message?: Message | undefined }): JSX.Element {
  switch (part.type) {
    case 'text':
      return <Words part={part} />;
    case 'html':
      return <AsSent part={part} message={message} />;
    case 'envelope':
      return <Envelope part={part} />;
    case 'order':
      return <Order part={part} />;
    case 'referral':
      return <Referral part={part} />;
    case 'media':
      return <Media part={part} />;
    case 'location':
      return (
        <a class="file" target="_blank" rel="noopener noreferrer" href={`https://www.openstreetmap.org/?mlat=${part.latitude}&mlon=${part.longitude}#map=16/${part.latitude}/${part.longitude}`}>
          <Icon name="pin" size={17} /> <bdi>{part.name || part.address || `${part.latitude.toFixed(5)}, ${part.longitude.toFixed(5)}`}</bdi>
        </a>
      );
    case 'contact':
      return (
        <p class="file">
          <Icon name="mine" size={17} /> <bdi>{part.name}</bdi> <small><bdi>{[...(part.phones ?? []), ...(part.emails ?? [])].join(', ')}</bdi></small>
        </p>
      );
    case 'choices':
      return (
        <>
          {part.text !== '' && <LinkedText text={part.text} />}
          <ul class="options" aria-label={t('choices')}>{part.options.map((option) => <li key={option.id} dir="auto">{option.label}</li>)}</ul>
        </>
      );
    case 'chosen':
      return <p class="text chosen" dir="auto"><Icon name="check" size={15} /> {part.label || part.id}</p>;
    case 'template':
      return <p class="text">{t('template')}: <bdi>{[part.name, ...(part.parameters ?? [])].join(' · ')}</bdi></p>;
    default:
      return <p class="text muted">{t('unsupported', { kind: part.type === 'unsupported' ? part.kind : part.type })}</p>;
  }
}
