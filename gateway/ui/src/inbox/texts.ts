import { computed, signal } from '@preact/signals';

import { createTranslate, pickLanguage, pickLocale, type Language, type Params } from '../common/i18n.ts';
import en from './en.json';
import it from './it.json';
import pl from './pl.json';

const KEY = 'sportello:language';

function remembered(): string | null {
  try {
    return localStorage.getItem(KEY);
  } catch {
    return null;
  }
}

export const language = signal<Language>(pickLanguage([remembered(), ...navigator.languages]));
/** For dates and numbers. */
export const locale = computed(() => pickLocale(language.value, navigator.languages));
const translate = computed(() => createTranslate({ en, it, pl }, language.value));

export function t(key: string, params?: Params): string {
  return translate.value(key, params);
}

export function speak(next: Language): void {
  language.value = next;
  document.documentElement.lang = next;
  try {
    localStorage.setItem(KEY, next);
  } catch {
    /* then only until the page is closed */
  }
}
