/** Calls to the gateway. Every failure is an `ApiError` with the server's stable code and its words. */
import { uuid } from '../common/ids.ts';

export class ApiError extends Error {
  /** HTTP status; 0 if no answer came. */
  readonly status: number;
  readonly code: string;
  constructor(status: number, code: string, detail: string) {
    super(detail);
    this.status = status;
    this.code = code;
  }
}

type Query = Readonly<Record<string, string | number | undefined>>;

export interface Page<T> { items: T[]; next?: string | null; as_of_pos: number; more?: boolean }

function address(path: string, query: Query = {}): string {
  const search = new URLSearchParams();
  for (const [key, value] of Object.entries(query)) if (value !== undefined) search.set(key, String(value));
  const text = search.toString();
  return `/api/v1${path}${text === '' ? '' : `?${text}`}`;
}

async function answerOf<T>(request: Promise<Response>): Promise<T> {
  let response: Response;
  try {
    response = await request;
  } catch {
    throw new ApiError(0, 'no_connection', '');
  }
  if (response.status === 204) return undefined as T;
  const body: unknown = await response.json().catch(() => null);
  if (response.ok) return body as T;
  const problem = (typeof body === 'object' && body !== null ? body : {}) as { code?: string; detail?: string; title?: string };
  throw new ApiError(response.status, problem.code ?? 'error', problem.detail ?? problem.title ?? `HTTP ${response.status}`);
}

export function get<T>(path: string, query?: Query): Promise<T> {
  return answerOf<T>(fetch(address(path, query), { headers: { Accept: 'application/json' } }));
}

/** `key` makes a repetition harmless: the same key gives the first answer again. */
export function send<T>(method: 'POST' | 'PATCH' | 'PUT' | 'DELETE', path: string, body?: object, key: string = uuid()): Promise<T> {
  const headers: Record<string, string> = { Accept: 'application/json' };
  if (method === 'POST') headers['Idempotency-Key'] = key;
  if (body === undefined) return answerOf<T>(fetch(address(path), { method, headers }));
  headers['Content-Type'] = 'application/json';
  return answerOf<T>(fetch(address(path), { method, headers, body: JSON.stringify(body) }));
}

export interface Uploaded { id: string; mime: string; size: number; name: string }

export function upload(file: File): Promise<Uploaded> {
  const headers = {
    'Content-Type': file.type || 'application/octet-stream',
    'X-File-Name': encodeURIComponent(file.name),
    'Idempotency-Key': uuid(),
  };
  return answerOf<Uploaded>(fetch(address('/media'), { method: 'POST', headers, body: file }));
}

/** All pages of a list, at most `most` items; `as_of_pos` is the oldest of them. */
export async function getAll<T>(path: string, query: Query, most: number): Promise<Page<T>> {
  const items: T[] = [];
  let asOf = Number.POSITIVE_INFINITY;
  let after: string | undefined;
  do {
    const page: Page<T> = await get<Page<T>>(path, { ...query, after });
    items.push(...page.items);
    asOf = Math.min(asOf, page.as_of_pos);
    after = page.next ?? undefined;
  } while (after !== undefined && items.length < most);
  return { items, as_of_pos: asOf };
}

export function mediaUrl(stored: string): string {
  return `/api/v1/media/${encodeURIComponent(stored)}`;
}

/** Addresses of the gateway's own by which a mail's pictures from afar can be shown; they work for some minutes. */
export async function pictureLinks(conversation: string, message: string): Promise<readonly string[]> {
  const path = `/conversations/${encodeURIComponent(conversation)}/messages/${encodeURIComponent(message)}/pictures`;
  return (await get<{ items: string[] }>(path)).items.map((link) => new URL(link, location.href).href);
}
