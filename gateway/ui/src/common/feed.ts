/**
 * What an agent's screen knows, and how a frame of the live feed changes it. Pure: `applyEvent(state, frame)` gives a new
 * state and never touches the old one. Every event carries full snapshots, so a change is a replacement, and a snapshot that
 * is older than what the screen already holds is dropped.
 */
import type { Agent, Channel, Conversation, Customer, Decision, KnownIdentity, Message, Queue, Role } from './types.ts';

/** A copy and the stream position it is good for. */
export interface Held<T> { readonly value: T; readonly pos: number }
export interface Thread {
  /** In order of `pos`. */
  readonly items: readonly Message[];
  readonly asOf: number;
  /** Is there something before the first item? */
  readonly more: boolean;
}
/** What came by the feed while a thread was being fetched. */
interface Arrival { readonly message: Message; readonly pos: number; readonly isNew: boolean }
export interface Person { readonly customer: Customer; readonly identities: readonly KnownIdentity[] }
export interface Viewer { readonly id: string; readonly role: Role; readonly queues: ReadonlySet<string> }

export interface FeedState {
  /** Position of the last frame that was applied. */
  readonly pos: number;
  readonly viewer: Viewer;
  readonly conversations: ReadonlyMap<string, Held<Conversation>>;
  /** Only threads that were opened. */
  readonly threads: ReadonlyMap<string, Thread>;
  /** Threads whose snapshot is on its way: it may be older than what the feed brings meanwhile. */
  readonly opening: ReadonlyMap<string, readonly Arrival[]>;
  readonly people: ReadonlyMap<string, Person>;
  readonly agents: ReadonlyMap<string, Agent>;
  readonly queues: ReadonlyMap<string, Queue>;
  readonly channels: ReadonlyMap<string, Channel>;
  readonly decisions: ReadonlyMap<string, readonly Decision[]>;
  /** Why everything must be fetched anew; empty if nothing must. */
  readonly resync: string;
}

export type Frame = Readonly<Record<string, unknown>>;
type Data = Readonly<Record<string, unknown>>;

export function emptyState(viewer: Viewer): FeedState {
  return {
    pos: 0, viewer, conversations: new Map(), threads: new Map(), opening: new Map(), people: new Map(), agents: new Map(),
    queues: new Map(), channels: new Map(), decisions: new Map(), resync: '',
  };
}

function put<T>(map: ReadonlyMap<string, T>, key: string, value: T): ReadonlyMap<string, T> {
  return new Map(map).set(key, value);
}

function without<T>(map: ReadonlyMap<string, T>, key: string): ReadonlyMap<string, T> {
  if (!map.has(key)) return map;
  const copy = new Map(map);
  copy.delete(key);
  return copy;
}

function object(value: unknown): Data | null {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Data) : null;
}

function withId<T>(value: unknown): (T & { id: string }) | null {
  const data = object(value);
  return data !== null && typeof data['id'] === 'string' ? (data as unknown as T & { id: string }) : null;
}

/** May the viewer see conversations of this queue? */
export function sees(viewer: Viewer, conversation: Conversation): boolean {
  if (viewer.role === 'admin' || viewer.role === 'supervisor') return true;
  return viewer.queues.has(conversation.queue_id) || conversation.assignee_id === viewer.id;
}

/** Puts a message where its position belongs; a copy with the same id is replaced. */
export function placeMessage(items: readonly Message[], message: Message): readonly Message[] {
  const at = items.findIndex((item) => item.id === message.id);
  if (at >= 0) {
    const copy = items.slice();
    copy[at] = message;
    return copy;
  }
  let index = items.length;
  while (index > 0 && (items[index - 1]?.pos ?? 0) > message.pos) index -= 1;
  return [...items.slice(0, index), message, ...items.slice(index)];
}

/** Puts a snapshot of a conversation, unless a newer one is held or it is not the viewer's any more. */
export function putConversation(state: FeedState, next: Conversation, pos: number, name?: string): FeedState {
  const held = state.conversations.get(next.id);
  if (held !== undefined && held.pos > pos) return state;
  if (!sees(state.viewer, next)) {
    return { ...state, conversations: without(state.conversations, next.id), threads: without(state.threads, next.id) };
  }
  const known = next.customer_name ?? name ?? state.people.get(next.customer_id)?.customer.name ?? held?.value.customer_name ?? '';
  return { ...state, conversations: put(state.conversations, next.id, { value: { ...next, customer_name: known }, pos }) };
}

function putMessage(state: FeedState, message: Message, pos: number, isNew: boolean): FeedState {
  const thread = state.threads.get(message.conversation_id);
  const opening = state.opening.get(message.conversation_id);
  if (opening !== undefined) {
    return { ...state, opening: put(state.opening, message.conversation_id, [...opening, { message, pos, isNew }]) };
  }
  if (thread === undefined || pos <= thread.asOf) return state;
  const known = thread.items.some((item) => item.id === message.id);
  if (!known && !isNew) return state; // a change of something older than what is on the screen
  return { ...state, threads: put(state.threads, message.conversation_id, { ...thread, items: placeMessage(thread.items, message) }) };
}

/** From here on nothing of the conversation is missed until `fillThread`. */
export function openThread(state: FeedState, conversation: string): FeedState {
  return { ...state, opening: put(state.opening, conversation, []) };
}

/** Puts the snapshot that was fetched, and over it what came meanwhile. */
export function fillThread(state: FeedState, conversation: string, thread: Thread): FeedState {
  const arrived = state.opening.get(conversation) ?? [];
  const filled = { ...state, opening: without(state.opening, conversation), threads: put(state.threads, conversation, thread) };
  return arrived.reduce((now, { message, pos, isNew }) => putMessage(now, message, pos, isNew), filled);
}

/** A message that the viewer's own request returned; its feed event will replace it. */
export function putOwnMessage(state: FeedState, message: Message): FeedState {
  const thread = state.threads.get(message.conversation_id);
  if (thread === undefined || thread.items.some((item) => item.id === message.id)) return state;
  return { ...state, threads: put(state.threads, message.conversation_id, { ...thread, items: placeMessage(thread.items, message) }) };
}

function onConversation(state: FeedState, data: Data, pos: number): FeedState {
  const conversation = withId<Conversation>(data['conversation']);
  if (conversation === null) return state;
  const name = data['customer_name'];
  return putConversation(state, conversation, pos, typeof name === 'string' ? name : undefined);
}

function onMessage(state: FeedState, type: string, data: Data, pos: number): FeedState {
  const message = withId<Message>(data['message']);
  if (message === null) return state;
  return putMessage(onConversation(state, data, pos), message, pos, type === 'message.added');
}

function onCustomer(state: FeedState, type: string, data: Data): FeedState {
  if (type === 'customer.merged' || type === 'customer.unmerged') return onMerge(state, type, data);
  const customer = withId<Customer>(data['customer']);
  if (customer === null) return state;
  const given = data['identities'];
  const identities = Array.isArray(given) ? (given as KnownIdentity[]) : (state.people.get(customer.id)?.identities ?? []);
  const conversations = new Map(state.conversations);
  for (const [id, held] of conversations) {
    if (held.value.customer_id === customer.id) {
      conversations.set(id, { ...held, value: { ...held.value, customer_name: customer.name ?? '' } });
    }
  }
  return { ...state, conversations, people: put(state.people, customer.id, { customer, identities }) };
}

function onMerge(state: FeedState, type: string, data: Data): FeedState {
  const from = data['from_id'];
  const into = data['into_id'];
  if (typeof from !== 'string' || typeof into !== 'string') return state;
  // The people are looked up again when they are next shown; which conversations go back after an unmerge only the server knows.
  const people = without(without(state.people, from), into);
  if (type === 'customer.unmerged') return { ...state, people };
  const conversations = new Map(state.conversations);
  for (const [id, held] of conversations) {
    if (held.value.customer_id === from) conversations.set(id, { ...held, value: { ...held.value, customer_id: into } });
  }
  return { ...state, conversations, people };
}

function onQueue(state: FeedState, type: string, data: Data): FeedState {
  if (type === 'queue.changed') {
    const queue = withId<Queue>(data['queue']);
    return queue === null ? state : { ...state, queues: put(state.queues, queue.id, { ...state.queues.get(queue.id), ...queue }) };
  }
  const id = data['queue_id'];
  if (typeof id !== 'string' || data['agent_id'] !== state.viewer.id) return state;
  const queues = new Set(state.viewer.queues);
  if (type === 'queue.member_added') queues.add(id);
  else queues.delete(id);
  const viewer = { ...state.viewer, queues };
  const conversations = new Map(state.conversations);
  for (const [key, held] of conversations) if (!sees(viewer, held.value)) conversations.delete(key);
  return { ...state, viewer, conversations };
}

function onAgent(state: FeedState, data: Data): FeedState {
  const agent = withId<Agent>(data['agent']);
  return agent === null ? state : { ...state, agents: put(state.agents, agent.id, agent) };
}

function onDecision(state: FeedState, data: Data): FeedState {
  const decision = object(data['decision']) as Decision | null;
  if (decision === null || typeof decision.conversation_id !== 'string') return state;
  const former = state.decisions.get(decision.conversation_id);
  if (former === undefined) return state; // fetched with its conversation
  return { ...state, decisions: put(state.decisions, decision.conversation_id, [decision, ...former]) };
}

function reduce(state: FeedState, type: string, data: Data, pos: number): FeedState {
  switch (type.split('.')[0]) {
    case 'message':
      return onMessage(state, type, data, pos);
    case 'conversation':
      return onConversation(state, data, pos);
    case 'customer':
      return onCustomer(state, type, data);
    case 'agent':
      return onAgent(state, data);
    case 'queue':
      return onQueue(state, type, data);
    case 'routing':
      return onDecision(state, data);
    default:
      return state; // a newer server may know more than this page
  }
}

/** The state after `frame`. A frame that was applied before changes nothing. */
export function applyEvent(state: FeedState, frame: Frame): FeedState {
  const type = frame['type'];
  if (typeof type !== 'string') return state;
  if (type === 'resync_required') return { ...state, resync: String(frame['reason'] ?? 'resync') || 'resync' };
  const pos = frame['pos'];
  if (type === 'hello' || type === 'ping' || typeof pos !== 'number' || pos <= state.pos) return state;
  const data = object(frame['data']) ?? {};
  return { ...reduce(state, type, data, pos), pos };
}
