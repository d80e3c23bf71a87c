/** JSON of the gateway's interface. Fields with a default may be left out by the server, hence the question marks. */

export interface TextPart {
  type: 'text';
  text: string;
  /** Characters from the start that are the person's own words; the rest quotes earlier mails. */
  fold?: number;
}
/** Sanitised by the gateway; shown in a sandbox all the same. */
export interface HtmlPart {
  type: 'html';
  html: string;
  /** Where pictures from afar are, one for each `<img src="remote:0">`: only the gateway goes there. */
  remote?: readonly string[];
}
export interface EnvelopePart {
  type: 'envelope';
  subject?: string;
  to?: readonly string[];
  cc?: readonly string[];
  bcc?: readonly string[];
  remarks?: readonly string[];
}
export interface OrderPart { type: 'order'; items: readonly { product: string; quantity: number; price?: string; currency?: string }[]; catalog?: string; note?: string }
export interface ReferralPart { type: 'referral'; source: string; id?: string; url?: string; headline?: string; body?: string }
export type MediaKind = 'image' | 'video' | 'audio' | 'voice' | 'sticker' | 'file';
export interface MediaPart {
  type: 'media';
  kind: MediaKind;
  ref?: string;
  mime?: string;
  name?: string;
  /** Bytes. */
  size?: number;
  /** Id of the gateway's own copy. */
  stored?: string;
  problem?: string;
  /** A scanner still has to look at it. */
  checking?: boolean;
  /** A scanner found this in it; visitors are told only that it did. */
  withheld?: string | boolean;
  /** Where a visitor may fetch it. */
  url?: string;
}
export interface LocationPart { type: 'location'; latitude: number; longitude: number; name?: string; address?: string }
export interface ContactPart { type: 'contact'; name: string; phones?: readonly string[]; emails?: readonly string[]; own?: boolean }
export interface Choice { id: string; label: string; description?: string }
export interface ChoicesPart { type: 'choices'; text: string; options: readonly Choice[] }
export interface ChosenPart { type: 'chosen'; id: string; label?: string }
export interface TemplatePart {
  type: 'template';
  name: string;
  language: string;
  parameters?: readonly string[];
  names?: readonly string[];
  header?: string;
  buttons?: readonly string[];
}
/** What the system line says: a stable word, and the names it is about. */
export interface ActivityPart { type: 'activity'; code: string; actor?: string; subject?: string }
export interface UnsupportedPart { type: 'unsupported'; kind: string }
export type Part =
  | TextPart | HtmlPart | EnvelopePart | MediaPart | LocationPart | ContactPart | ChoicesPart | ChosenPart | TemplatePart | OrderPart
  | ReferralPart | ActivityPart | UnsupportedPart;

export type State = 'pending' | 'queued' | 'open' | 'snoozed' | 'resolved';
export type Presence = 'online' | 'away' | 'offline';
export type Role = 'admin' | 'supervisor' | 'agent' | 'bot';
export type Status =
  | 'queued' | 'sending' | 'retry' | 'unknown' | 'sent' | 'delivered' | 'read' | 'failed' | 'expired';

export interface Identity { scheme: string; scope?: string; value: string }
export interface KnownIdentity {
  identity: Identity;
  customer_id: string;
  evidence: 'signed' | 'provider' | 'claimed';
  since: string;
  name?: string;
  opted_out?: boolean;
}
export interface Customer { id: string; name?: string; created_at: string; language?: string }
export interface Agent {
  id: string;
  name: string;
  email?: string;
  role: Role;
  presence?: Presence;
  capacity?: number;
  disabled?: boolean;
}
export interface Queue { id: string; name: string; is_default?: boolean; member?: boolean }
export interface Channel { id: string; kind: string; title?: string; enabled?: boolean; capabilities?: { sends?: readonly string[] } }
export interface Conversation {
  id: string;
  number: number;
  channel: string;
  identity: Identity;
  customer_id: string;
  customer_name?: string;
  state: State;
  queue_id: string;
  created_at: string;
  updated_at: string;
  assignee_id?: string;
  waiting_since?: string | null;
  snoozed_until?: string | null;
  preview?: string;
  last_pos?: number;
  last_inbound_pos?: number;
  seen_pos?: number;
  customer_seen_pos?: number;
  /** Until when the shopper may be answered, and with what; null: for ever. */
  window?: { name: string; closes_at: string | null; sends: readonly string[] } | null;
}
export interface Author { kind: 'customer' | 'agent' | 'bot' | 'system'; id?: string; name?: string }
export interface Message {
  id: string;
  pos: number;
  conversation_id: string;
  customer_id?: string;
  kind: 'inbound' | 'outbound' | 'note' | 'activity';
  author: Author;
  parts: readonly Part[];
  at: string;
  channel?: string;
  reply_to?: string;
  forwarded_from?: string;
  edited_at?: string | null;
  deleted?: boolean;
  reactions?: Readonly<Record<string, readonly string[]>>;
  status?: Status | null;
  problem?: string;
  possible_duplicate?: boolean;
  /** Everybody can read it: a comment, or an answer below one. */
  public?: boolean;
}
export interface Candidate {
  agent_id: string;
  name: string;
  open_count: number;
  capacity: number;
  eligible: boolean;
  reason: string;
}
export interface Decision {
  conversation_id: string;
  queue_id: string;
  at: string;
  outcome: string;
  agent_id?: string;
  reason: string;
  candidates?: readonly Candidate[];
}

/** A message as a visitor's browser sees it. */
export interface VisitorMessage {
  id: string;
  pos: number;
  mine: boolean;
  author?: string;
  parts: readonly Part[];
  at: string;
  /** Of the visitor's own messages: the id that their page gave it. */
  client_id?: string;
  deleted?: boolean;
  edited?: boolean;
}
