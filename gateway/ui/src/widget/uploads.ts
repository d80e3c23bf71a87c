/** Files that the visitor has picked: on their way to the gateway, or there and waiting to be sent with a message. */
import { signal } from '@preact/signals';

import { uuid } from '../common/ids.ts';
import { SHOWABLE } from '../common/size.ts';
import type { SentFile } from '../common/visitor.ts';

export interface Upload extends SentFile {
  readonly key: string;
  /** 0 … 1. */
  readonly progress: number;
  /** Key of a text; empty if all is well. */
  readonly problem: string;
}

const MOST = 10;
const PROBLEMS: Readonly<Record<number, string>> = { 413: 'file_too_large', 422: 'file_empty', 429: 'slow_down' };

export class Uploads {
  readonly list = signal<readonly Upload[]>([]);
  /** Bytes; 0 while the gateway has not said it. */
  limit = 0;
  #address: string;
  #token: () => string | null;
  #running = new Map<string, XMLHttpRequest>();

  constructor(address: string, token: () => string | null) {
    this.#address = address;
    this.#token = token;
  }

  add(files: Iterable<File>): void {
    for (const file of files) {
      if (this.list.value.length >= MOST) return;
      const key = uuid();
      const problem = file.size === 0 ? 'file_empty' : this.limit > 0 && file.size > this.limit ? 'file_too_large' : '';
      const thumb = problem === '' && SHOWABLE.has(file.type) ? URL.createObjectURL(file) : '';
      this.list.value = [...this.list.value, { key, id: '', name: file.name, size: file.size, mime: file.type, thumb, progress: 0, problem }];
      if (problem === '') this.#send(key, file);
    }
  }

  remove(key: string): void {
    this.#running.get(key)?.abort();
    for (const item of this.list.value) if (item.key === key && item.thumb !== '') URL.revokeObjectURL(item.thumb);
    this.list.value = this.list.value.filter((item) => item.key !== key);
  }

  /** Those that have arrived; they leave the list. */
  take(): SentFile[] {
    const ready = this.list.value.filter((item) => item.id !== '');
    this.list.value = this.list.value.filter((item) => item.id === '');
    return ready;
  }

  #change(key: string, change: Partial<Upload>): void {
    this.list.value = this.list.value.map((item) => (item.key === key ? { ...item, ...change } : item));
  }

  /** XMLHttpRequest, because `fetch` does not tell how far it is. */
  #send(key: string, file: File): void {
    const request = new XMLHttpRequest();
    this.#running.set(key, request);
    request.open('POST', this.#address);
    request.setRequestHeader('Authorization', `Bearer ${this.#token() ?? ''}`);
    request.setRequestHeader('Content-Type', 'application/octet-stream');
    // Half a character in a name would make encodeURIComponent throw.
    request.setRequestHeader('X-File-Name', encodeURIComponent(file.name.replace(/\p{Surrogate}/gu, '')));
    request.upload.onprogress = (event) => event.lengthComputable && this.#change(key, { progress: event.loaded / event.total });
    request.onloadend = () => {
      this.#running.delete(key);
      let answer: { id?: unknown; mime?: unknown; code?: unknown } = {};
      try {
        answer = JSON.parse(request.responseText || '{}') as typeof answer;
      } catch {
        /* a proxy's page */
      }
      if (request.status === 201 && typeof answer.id === 'string') this.#change(key, { id: answer.id, mime: String(answer.mime), progress: 1 });
      else this.#change(key, { problem: answer.code === 'file_withheld' ? 'file_withheld' : (PROBLEMS[request.status] ?? 'file_failed') });
    };
    request.send(file);
  }
}
