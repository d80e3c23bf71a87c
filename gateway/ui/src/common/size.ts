/** Bytes in words: `1.5 MB`. */
export function sizeText(bytes: number, locale: string): string {
  const unit = bytes >= 1_000_000 ? 'megabyte' : bytes >= 1000 ? 'kilobyte' : 'byte';
  const value = bytes >= 1_000_000 ? bytes / 1_000_000 : bytes >= 1000 ? bytes / 1000 : bytes;
  return new Intl.NumberFormat(locale, { style: 'unit', unit, unitDisplay: 'short', maximumFractionDigits: 1 }).format(value);
}

/** Types that a browser shows without harm; the gateway serves nothing else inline. */
export const SHOWABLE: ReadonlySet<string> = new Set(['image/png', 'image/jpeg', 'image/gif', 'image/webp']);
