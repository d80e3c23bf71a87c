/** Times for people, by the browser's own `Intl`. */

const DAY = 86_400_000;

/** Hour and minute. */
export function clock(at: string, language: string): string {
  const date = new Date(at);
  return Number.isNaN(date.getTime()) ? '' : new Intl.DateTimeFormat(language, { hour: '2-digit', minute: '2-digit' }).format(date);
}

/** Full date and time, for tooltips. */
export function full(at: string, language: string): string {
  const date = new Date(at);
  return Number.isNaN(date.getTime()) ? '' : new Intl.DateTimeFormat(language, { dateStyle: 'full', timeStyle: 'medium' }).format(date);
}

/** Key of the local day, for separators. */
export function dayKey(at: string): string {
  const date = new Date(at);
  return `${date.getFullYear()}-${date.getMonth()}-${date.getDate()}`;
}

/** "today", "yesterday", else the date. */
export function day(at: string, language: string, now: number): string {
  const date = new Date(at);
  if (Number.isNaN(date.getTime())) return '';
  const midnight = (time: Date): number => new Date(time.getFullYear(), time.getMonth(), time.getDate()).getTime();
  const days = Math.round((midnight(date) - midnight(new Date(now))) / DAY);
  if (days === 0 || days === -1) return new Intl.RelativeTimeFormat(language, { numeric: 'auto' }).format(days, 'day');
  const style: Intl.DateTimeFormatOptions = { weekday: 'short', day: 'numeric', month: 'long' };
  if (date.getFullYear() !== new Date(now).getFullYear()) style.year = 'numeric';
  return new Intl.DateTimeFormat(language, style).format(date);
}

/** For lists: the clock today, else day and month. */
export function short(at: string, language: string, now: number): string {
  if (dayKey(at) === dayKey(new Date(now).toISOString())) return clock(at, language);
  return new Intl.DateTimeFormat(language, { day: 'numeric', month: 'short' }).format(new Date(at));
}

/** How long somebody has waited: `45 s`, `12 min`, `3 h 05`. Never negative. */
export function waited(since: string, now: number): string {
  const seconds = Math.max(0, Math.floor((now - new Date(since).getTime()) / 1000));
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? `${hours} h ${String(minutes % 60).padStart(2, '0')}` : `${Math.floor(hours / 24)} d`;
}
