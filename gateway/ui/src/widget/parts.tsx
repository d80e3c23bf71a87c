import { useSignal } from '@preact/signals';
import type { JSX } from 'preact';

import type { Translate } from '../common/i18n.ts';
import { LinkedText } from '../common/linked-text.tsx';
import { safeUrl } from '../common/links.ts';
import { SHOWABLE, sizeText } from '../common/size.ts';
import type { MediaPart, Part } from '../common/types.ts';

interface Props {
  part: Part;
  origin: string;
  t: Translate;
  locale: string;
  /** Gets fresh links for the message. */
  refresh: () => void;
  /** Absent when the buttons are no longer to be pressed. */
  choose?: ((option: string, label: string) => void) | undefined;
}

function mediaLabel(part: MediaPart, t: Translate): string {
  const kinds = { image: 'image', sticker: 'image', video: 'video', audio: 'audio', voice: 'audio', file: 'attachment' } as const;
  return part.name || t(kinds[part.kind] ?? 'attachment');
}

function mediaUrl(part: MediaPart, origin: string): string {
  if (!part.url) return '';
  try {
    return safeUrl(new URL(part.url, origin).href)?.href ?? '';
  } catch {
    return '';
  }
}

function Outside({ href, children }: { href: string; children: string }): JSX.Element {
  return (
    <a class="file" href={href} target="_blank" rel="noopener noreferrer" dir="auto">
      {children}
    </a>
  );
}

/** What a file looks like: a picture, or its name and size. Also for those that are not sent yet. */
export function FileFace({ name, size, picture, locale, lost, why }: { name: string; size: number; picture: string; locale: string; lost?: () => void; why?: string | undefined }): JSX.Element {
  if (picture !== '') return <img src={picture} alt={name} referrerpolicy="no-referrer" onError={lost} />;
  return (
    <>
      <Clip />
      <span class="facts"><bdi>{name}</bdi>{why ? <small>{why}</small> : size > 0 && <small>{sizeText(size, locale)}</small>}</span>
    </>
  );
}

export function Clip(): JSX.Element {
  return (
    <svg viewBox="0 0 24 24" width="20" height="20" fill="none" stroke="currentColor" stroke-width="1.9" stroke-linecap="round" stroke-linejoin="round" aria-hidden="true">
      <path d="m20 11.5-8 8a5 5 0 0 1-7-7l8.5-8.5a3.4 3.4 0 0 1 4.8 4.8l-8.3 8.3a1.7 1.7 0 0 1-2.4-2.4l7.400-7.400" />
    </svg>
  );
}

function Media({ part, origin, t, locale, refresh }: Props & { part: MediaPart }): JSX.Element {
  const href = mediaUrl(part, origin);
  // A link that was broken once is not loaded again and again; a fresh one is.
  const broken = useSignal('');
  const picture = href !== '' && broken.value !== href && SHOWABLE.has(part.mime ?? '') ? href : '';
  const lost = (): void => {
    if (broken.value === '') refresh();
    broken.value = href;
  };
  const why = part.withheld ? t('file_withheld') : part.checking ? t('file_checking') : undefined;
  const face = <FileFace name={mediaLabel(part, t)} size={part.size ?? 0} picture={picture} locale={locale} lost={lost} why={why} />;
  if (href === '') return <p class="card" dir="auto">{face}</p>;
  return <a class={picture === '' ? 'card' : 'picture'} href={href} target="_blank" rel="noopener noreferrer" dir="auto">{face}</a>;
}

export function PartView(props: Props): JSX.Element | null {
  const { part, t, choose } = props;
  switch (part.type) {
    case 'text':
      return <LinkedText text={part.text} />;
    case 'choices': {
      const buttons: JSX.Element[] = [];
      for (const option of part.options) {
        buttons.push(
          <button type="button" class="choice" dir="auto" disabled={choose === undefined} onClick={() => choose?.(option.id, option.label)}>
            {option.label}
          </button>,
        );
      }
      return (
        <>
          {part.text !== '' && <LinkedText text={part.text} />}
          <div class="choices">{buttons}</div>
        </>
      );
    }
    case 'chosen':
      return <LinkedText text={part.label || part.id} />;
    case 'media':
      return <Media {...props} part={part} />;
    case 'location': {
      const at = `${part.latitude.toFixed(5)},${part.longitude.toFixed(5)}`;
      return (
        <>
          {part.name && <LinkedText text={part.name} />}
          <Outside href={`https://www.openstreetmap.org/?mlat=${part.latitude}&mlon=${part.longitude}#map=16/${at.replace(',', '/')}`}>
            {t('map')}
          </Outside>
        </>
      );
    }
    case 'contact':
      return <LinkedText text={part.name + (part.phones?.[0] ? `, tel:${part.phones[0].replace(/\s/gu, '')}` : '')} />;
    default:
      return <p class="text muted">{t('unsupported')}</p>;
  }
}
