/** `<script src="…/widget.js" data-channel="web" async></script>` puts the chat on a page. It ignores every postMessage. */
import { mount } from './mount.tsx';
import { readSettings } from './settings.ts';

const TAG = 'sportello-chat';

function start(script: HTMLScriptElement): void {
  if (document.querySelector(TAG) !== null) return; // the tag is on the page twice
  const settings = readSettings(script);
  if (settings === null) {
    console.warn('sportello: the script tag needs a src at the gateway and a valid data-channel');
    return;
  }
  const host = document.createElement(TAG);
  // Not into <body>: pages built by scripts rewrite it, and a transform on it would catch position: fixed.
  document.documentElement.append(host);
  mount(host, settings);
}

const current = document.currentScript;
if (current instanceof HTMLScriptElement) {
  try {
    start(current);
  } catch (error) {
    // The shop's page must not suffer from ours.
    console.warn('sportello: the chat could not start', error);
  }
}
