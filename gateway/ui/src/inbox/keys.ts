/** One-letter shortcuts; they never fire while somebody types, or together with Ctrl, Alt or Meta. */
import { act, choose } from './conversation.ts';
import { helpOpen, noteMode } from './screen.ts';
import { current, listed, selected, viewer } from './store.ts';

function step(by: number): void {
  const rows = listed.value;
  if (rows.length === 0) return;
  const at = rows.findIndex((row) => row.id === selected.value);
  const next = rows[Math.min(rows.length - 1, Math.max(0, at < 0 ? 0 : at + by))];
  if (next === undefined) return;
  void choose(next.id);
  requestAnimationFrame(() => document.getElementById(`row-${next.id}`)?.scrollIntoView({ block: 'nearest' }));
}

function compose(note: boolean): void {
  if (current.value === null) return;
  noteMode.value = note;
  // At once, not with the next frame: the following key strokes belong to the text.
  document.getElementById('composer')?.focus();
}

function onKey(event: KeyboardEvent): void {
  const target = event.target as HTMLElement;
  const typing = target.matches('input, textarea, select, [contenteditable]') || target.closest('dialog') !== null;
  if (event.key === 'Escape' && target.matches('textarea')) target.blur();
  if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
  const conversation = current.value;
  switch (event.key) {
    case 'j':
      step(1);
      break;
    case 'k':
      step(-1);
      break;
    case 'r':
      compose(false);
      break;
    case 'n':
      compose(true);
      break;
    case 'e':
      if (conversation !== null && conversation.state !== 'resolved') void act(conversation.id, 'resolve');
      break;
    case 'a':
      if (conversation !== null && conversation.assignee_id !== viewer.value.id) void act(conversation.id, 'accept');
      break;
    case '/':
      document.getElementById('find')?.focus();
      break;
    case '?':
      helpOpen.value = true;
      break;
    default:
      return;
  }
  event.preventDefault();
}

/** Starts to listen; the result stops it. */
export function listenToKeys(): () => void {
  document.addEventListener('keydown', onKey);
  return () => document.removeEventListener('keydown', onKey);
}
