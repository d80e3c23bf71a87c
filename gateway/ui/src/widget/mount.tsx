import { render } from 'preact';

import { createTranslate } from '../common/i18n.ts';
import { VisitorChat } from './chat.ts';
import en from './en.json';
import it from './it.json';
import pl from './pl.json';
import { inkOn, type Settings } from './settings.ts';
import { Widget } from './view.tsx';
import css from './widget.css?inline';

/** Sheets made by script are no inline styles, so a strict Content-Security-Policy of the shop lets them pass. */
function dress(root: ShadowRoot, sheets: readonly string[]): void {
  if ('adoptedStyleSheets' in root && 'replaceSync' in CSSStyleSheet.prototype) {
    const made: CSSStyleSheet[] = [];
    for (const text of sheets) {
      const sheet = new CSSStyleSheet();
      sheet.replaceSync(text);
      made.push(sheet);
    }
    root.adoptedStyleSheets = made;
    return;
  }
  for (const text of sheets) {
    const element = document.createElement('style');
    element.textContent = text;
    root.append(element);
  }
}

export function mount(host: HTMLElement, settings: Settings): void {
  const root = host.attachShadow({ mode: 'open' });
  const { color } = settings;
  dress(root, color === '' ? [css] : [css, `.app{--accent:${color};--on-accent:${inkOn(color)}}`]);
  const container = document.createElement('div');
  container.className = `app ${settings.side}`;
  container.lang = settings.language;
  root.append(container);
  const chat = new VisitorChat(settings);
  // For the shop's own scripts: document.querySelector('sportello-chat').identify(jwt)
  Object.assign(host, { identify: (jwt: string) => chat.identify(jwt), forget: () => chat.forget() });
  render(<Widget chat={chat} settings={settings} t={createTranslate({ en, it, pl }, settings.language)} />, container);
}
