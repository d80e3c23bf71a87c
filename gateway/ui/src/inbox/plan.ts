/** What the shopper would get of what stands in the field: asked of the gateway shortly after the agent stops typing. */
import { signal } from '@preact/signals';

import type { Part } from '../common/types.ts';
import { send } from './api.ts';

export interface PlanNote { code: string; part: number; detail: string }
export interface Plan { messages: readonly (readonly Part[])[]; notes: readonly PlanNote[]; segments: number }
interface Shown extends Plan { conversation: string; text: string }

const WAIT = 700;
/** Short texts fit everywhere. */
const SHORT = 60;

export const plan = signal<Shown | null>(null);
let timer: ReturnType<typeof setTimeout> | undefined;

export function planSoon(conversation: string, text: string): void {
  clearTimeout(timer);
  if (text.trim().length < SHORT) {
    plan.value = null;
    return;
  }
  timer = setTimeout(() => {
    // A plan is a courtesy: where there is none, the reply itself is answered.
    void send<Plan>('POST', `/conversations/${conversation}/plan`, { text }).then(
      (answer) => (plan.value = { ...answer, conversation, text }),
      () => (plan.value = null),
    );
  }, WAIT);
}

/** The plan of exactly this text, if it is known. */
export function planOf(conversation: string, text: string): Plan | null {
  const known = plan.value;
  return known !== null && known.conversation === conversation && known.text === text ? known : null;
}
