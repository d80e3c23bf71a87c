import type { JSX } from 'preact';

import type { Translate } from '../shared/i18n.ts';
import { LinkedText } from '../shared/linked-text.tsx';
import { safeUrl } from '../shared/links.ts';
import type { MediaPart, Part } from '../shared/types.ts';

interface Props {
  part: Part;
  origin: string;
  t: Translate;
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

export function PartView({ part, origin, t, choose }: Props): JSX.Element | null {
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
    case 'media': {
      const href = mediaUrl(part, origin);
      const label = mediaLabel(part, t);
      return href === '' ? <p class="file" dir="auto">{label}</p> : <Outside href={href}>{label}</Outside>;
    }
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
