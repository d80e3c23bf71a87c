import type { JSX } from 'preact';

import { LANGUAGES, type Language } from '../common/i18n.ts';
import { Menu } from './bits.tsx';
import { Icon } from './icons.tsx';
import { language, speak, t } from './texts.ts';

const NAMES: Readonly<Record<Language, string>> = { en: 'English', it: 'Italiano', pl: 'Polski' };

export function LanguageMenu({ up = false }: { up?: boolean }): JSX.Element {
  return (
    <Menu
      class="language" label={`${t('language')}: ${language.value.toUpperCase()}`} up={up}
      button={<><Icon name="globe" size={18} /><span class="word">{language.value.toUpperCase()}</span></>}
      items={LANGUAGES.map((key) => ({ key, label: NAMES[key], on: key === language.value }))}
      pick={(key) => speak(key as Language)}
    />
  );
}

export function Logo(): JSX.Element {
  return (
    <svg class="logo" viewBox="0 0 32 32" width="30" height="30" aria-hidden="true">
      <rect width="32" height="32" rx="9" />
      <path d="M8 23V14a8 8 0 0 1 16 0v9M6 23h20M16 18.5v4" />
      <circle cx="16" cy="14.5" r="2.4" />
    </svg>
  );
}
