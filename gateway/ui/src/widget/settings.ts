/** What the shop says on the script tag, and what the browser keeps for the visitor. */
import { pickLanguage, pickLocale, type Language } from '../common/i18n.ts';

export interface Settings {
  /** Where the script came from: the gateway. */
  origin: string;
  channel: string;
  language: Language;
  /** For dates. */
  locale: string;
  title: string;
  /** `#rrggbb`, or empty for the default. */
  color: string;
  side: 'left' | 'right';
  /** Nothing is stored and nobody is greeted before the visitor has agreed. */
  consent: boolean;
  /** The shop's privacy page; empty if there is none. */
  privacy: string;
  /** By which the shop's server says who is logged in; empty for a stranger. */
  jwt: string;
}

/** The full address of a web page; empty for anything else, such as `javascript:`. */
function webPage(text: string): string {
  if (text === '') return '';
  try {
    const url = new URL(text, document.baseURI);
    return url.protocol === 'https:' || url.protocol === 'http:' ? url.href : '';
  } catch {
    return '';
  }
}

/** Null if the tag has no usable address. */
export function readSettings(script: HTMLScriptElement): Settings | null {
  let origin: string;
  try {
    origin = new URL(script.src, document.baseURI).origin;
  } catch {
    return null;
  }
  const attribute = (name: string): string => script.getAttribute(`data-${name}`)?.trim() ?? '';
  const channel = attribute('channel') || 'web';
  const color = attribute('color');
  if (!/^https?:/u.test(origin) || !/^[\w.-]{1,64}$/u.test(channel)) return null;
  const language = pickLanguage([attribute('lang'), navigator.language]);
  return {
    origin,
    channel,
    language,
    locale: pickLocale(language, navigator.languages),
    title: attribute('title').slice(0, 60),
    color: /^#[0-9a-f]{6}$/iu.test(color) ? color : '',
    side: attribute('position') === 'left' ? 'left' : 'right',
    consent: attribute('consent') === 'required',
    privacy: webPage(attribute('privacy-url')),
    jwt: attribute('jwt'),
  };
}

/** Where the visitor is. Of a query only what names a campaign; the rest may be nobody's business. */
export function pageNow(): string {
  const campaign = new URLSearchParams();
  for (const [name, value] of new URLSearchParams(location.search)) if (name.startsWith('utm_')) campaign.append(name, value);
  const text = campaign.toString();
  return `${location.origin}${location.pathname}${text === '' ? '' : `?${text}`}`.slice(0, 2048);
}

/** The other site that led here, without its query; empty if there is none. */
export function cameFrom(): string {
  try {
    const url = new URL(document.referrer);
    return url.origin === location.origin ? '' : `${url.origin}${url.pathname}`.slice(0, 2048);
  } catch {
    return '';
  }
}

/** Black or white, whichever is read better on `color` (WCAG relative luminance). */
export function inkOn(color: string): string {
  const linear = (from: number): number => {
    const part = parseInt(color.slice(from, from + 2), 16) / 255;
    return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
  };
  const luminance = 0.2126 * linear(1) + 0.7152 * linear(3) + 0.0722 * linear(5);
  return luminance > 0.179 ? '#10201c' : '#ffffff';
}

/** `localStorage` under one prefix; memory where the browser refuses it. */
export class Keep {
  readonly prefix: string;
  #memory = new Map<string, string>();

  constructor(settings: Settings) {
    this.prefix = `sportello:${settings.origin}:${settings.channel}:`;
  }

  get(key: string): string | null {
    try {
      return localStorage.getItem(this.prefix + key) ?? this.#memory.get(key) ?? null;
    } catch {
      return this.#memory.get(key) ?? null;
    }
  }

  set(key: string, value: string): void {
    try {
      localStorage.setItem(this.prefix + key, value);
      this.#memory.delete(key);
    } catch {
      this.#memory.set(key, value);
    }
  }

  remove(key: string): void {
    this.#memory.delete(key);
    try {
      localStorage.removeItem(this.prefix + key);
    } catch {
      /* only in memory, and gone from there */
    }
  }

  /** Keys that begin with `start`, without the prefix. */
  keys(start: string): string[] {
    const out: string[] = [];
    for (const key of this.#memory.keys()) if (key.startsWith(start)) out.push(key);
    try {
      for (let index = 0; index < localStorage.length; index += 1) {
        const key = localStorage.key(index) ?? '';
        if (key.startsWith(this.prefix + start)) out.push(key.slice(this.prefix.length));
      }
    } catch {
      /* the memory is all there is */
    }
    return out;
  }
}
