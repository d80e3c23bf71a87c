/** Messages that the provider approved beforehand: pick one, fill in its blanks, see it as it will arrive. */
import { useSignal } from '@preact/signals';
import type { JSX } from 'preact';
import { useEffect } from 'preact/hooks';

import type { Conversation, TemplatePart } from '../common/types.ts';
import { get } from './api.ts';
import { Dialog } from './bits.tsx';
import { write } from './conversation.ts';
import { complain } from './store.ts';
import { t } from './texts.ts';

interface Definition {
  name: string;
  language: string;
  status: string;
  category?: string;
  body?: string;
  parameters?: readonly string[];
  header?: string;
  header_text?: string;
  footer?: string;
  buttons?: readonly string[];
  button_parameters?: readonly number[];
}

function filled(body: string, names: readonly string[], values: readonly string[]): string {
  return names.reduce((text, name, index) => text.replaceAll(`{{${name}}}`, values[index]?.trim() || `{{${name}}}`), body);
}

function Fill({ conversation, template, close }: { conversation: Conversation; template: Definition; close: () => void }): JSX.Element {
  const names = template.parameters ?? [];
  const blanks = template.button_parameters ?? [];
  const values = useSignal<readonly string[]>(names.map(() => ''));
  const ends = useSignal<readonly string[]>((template.buttons ?? []).map(() => ''));
  const header = useSignal('');
  const wantsHeader = template.header === 'text' && (template.header_text ?? '').includes('{{');
  const text = filled(template.body ?? template.name, names, values.value);
  return (
    <form
      class="template"
      onSubmit={(event) => {
        event.preventDefault();
        const part: TemplatePart = {
          type: 'template', name: template.name, language: template.language, parameters: values.value.map((value) => value.trim()),
          ...(wantsHeader ? { header: header.value.trim() } : {}), ...(blanks.length > 0 ? { buttons: ends.value } : {}),
        };
        write(conversation.id, text, false, { parts: [part] });
        close();
      }}
    >
      {wantsHeader && <label>{template.header_text}<input required maxLength={60} dir="auto" value={header.value} onInput={(event) => (header.value = event.currentTarget.value)} /></label>}
      {names.map((name, index) => (
        <label key={name}>{`{{${name}}}`}
          <input required maxLength={1024} dir="auto" value={values.value[index] ?? ''} onInput={(event) => (values.value = values.value.with(index, event.currentTarget.value))} />
        </label>
      ))}
      {blanks.map((index) => (
        <label key={`button ${index}`}>{template.buttons?.[index]}
          <input required maxLength={1024} value={ends.value[index] ?? ''} onInput={(event) => (ends.value = ends.value.with(index, event.currentTarget.value))} />
        </label>
      ))}
      <p class="preview" dir="auto">{text}{template.footer ? <small>{template.footer}</small> : null}</p>
      <button type="submit" class="primary">{t('send')}</button>
    </form>
  );
}

export function TemplateDialog({ conversation, close }: { conversation: Conversation; close: () => void }): JSX.Element {
  const known = useSignal<readonly Definition[] | null>(null);
  const chosen = useSignal<Definition | null>(null);
  useEffect(() => {
    get<{ items: Definition[] }>(`/channels/${conversation.channel}/templates`).then(
      (answer) => (known.value = answer.items.filter((one) => one.status === 'approved')),
      (error: unknown) => {
        complain(error);
        close();
      },
    );
  }, [conversation.channel]);
  return (
    <Dialog title={t('templates')} close={close}>
      {chosen.value !== null ? (
        <Fill conversation={conversation} template={chosen.value} close={close} />
      ) : known.value === null ? (
        <p class="loading">{t('loading')}</p>
      ) : known.value.length === 0 ? (
        <p class="muted">{t('no_templates')}</p>
      ) : (
        <ul class="templates">
          {known.value.map((one) => (
            <li key={`${one.name} ${one.language}`}>
              <button type="button" onClick={() => (chosen.value = one)}><b>{one.name}</b> <small>{one.language}</small><span dir="auto">{one.body}</span></button>
            </li>
          ))}
        </ul>
      )}
    </Dialog>
  );
}
