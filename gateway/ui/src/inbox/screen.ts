/** What is open on the screen, beside the data. */
import { signal } from '@preact/signals';

export const detailsOpen = signal(matchMedia('(min-width: 1240px)').matches);
export const helpOpen = signal(false);
export const historyOpen = signal(false);
/** Is the composer writing a private note? */
export const noteMode = signal(false);
/** Raised to ask the composer to take the focus. */
export const focusComposer = signal(0);
