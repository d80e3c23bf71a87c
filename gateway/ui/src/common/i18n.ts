/** Texts of the interface: flat catalogues, `{name}` placeholders, plurals as `key_one`, `key_few`, … */

export type Language = 'en' | 'it' | 'pl';
export const LANGUAGES: readonly Language[] = ['en', 'it', 'pl'];
export type Catalogue = Readonly<Record<string, string>>;
export type Params = Readonly<Record<string, string | number>>;
/** `t('unread', { n: 3 })`; `n` chooses the plural form. An unknown key comes back as it is. */
export type Translate = (key: string, params?: Params) => string;

/** First supported language of the wishes, in their order; English if there is none. */
export function pickLanguage(wishes: readonly (string | null | undefined)[]): Language {
  for (const wish of wishes) {
    const base = (wish ?? '').toLowerCase().split(/[-_]/u)[0];
    for (const language of LANGUAGES) if (language === base) return language;
  }
  return 'en';
}

/** Browsers may report what `Intl` then refuses, for example `en-US@posix`. */
function isTag(wish: string): boolean {
  try {
    return Intl.getCanonicalLocales(wish).length === 1;
  } catch {
    return false;
  }
}

/** The visitor's own variety of the language (en-GB: 24 hours), for dates and numbers. */
export function pickLocale(language: Language, wishes: readonly string[]): string {
  for (const wish of wishes) if (wish.toLowerCase().split('-')[0] === language && isTag(wish)) return wish;
  return language;
}

function has(catalogue: Catalogue, key: string): boolean {
  return Object.prototype.hasOwnProperty.call(catalogue, key);
}

export function createTranslate(catalogues: Readonly<Record<Language, Catalogue>>, language: Language): Translate {
  const catalogue = catalogues[language];
  const plurals = new Intl.PluralRules(language);
  return (key, params) => {
    let name = key;
    if (params !== undefined && typeof params['n'] === 'number') {
      const form = `${key}_${plurals.select(params['n'])}`;
      if (has(catalogue, form)) name = form;
      else if (has(catalogue, `${key}_other`)) name = `${key}_other`;
    }
    const source = has(catalogue, name) ? catalogue[name] : has(catalogues.en, name) ? catalogues.en[name] : undefined;
    if (source === undefined) return key;
    // One pass: an inserted value is never read as a placeholder again.
    return source.replace(/\{(\w+)\}/gu, (whole, field: string) =>
      params !== undefined && Object.prototype.hasOwnProperty.call(params, field) ? String(params[field]) : whole,
    );
  };
}
