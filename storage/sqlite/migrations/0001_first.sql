-- Times are microseconds since 1970 in UTC. Empty text stands for "none", NULL for a time that is not set.

-- The stream: written once, at the end, and by primary key only, so that it stays cheap at any size. No other index belongs here.
CREATE TABLE event (
  pos          INTEGER PRIMARY KEY,
  prev_pos     INTEGER NOT NULL,
  partition    INTEGER NOT NULL CHECK (partition BETWEEN 0 AND 15),
  at           INTEGER NOT NULL,
  type         TEXT NOT NULL,
  channel      TEXT NOT NULL,
  key          TEXT NOT NULL,
  conversation TEXT NOT NULL,
  queues       TEXT NOT NULL,
  agent        TEXT NOT NULL,
  identity     TEXT NOT NULL,
  data         BLOB NOT NULL,
  raw          BLOB NOT NULL
) STRICT;

-- What makes "received twice" harmless. hash is 64 bits of (channel, key); an event whose hash is taken by another key has hash + 1, and so on.
-- An integer key costs a fraction of an index over random text. Nothing is ever deleted here.
CREATE TABLE dedup (
  hash INTEGER PRIMARY KEY,
  pos  INTEGER NOT NULL
) STRICT;

-- The newest event of each partition.
CREATE TABLE head (
  partition INTEGER PRIMARY KEY,
  pos       INTEGER NOT NULL
) STRICT;

CREATE TABLE quarantine (
  pos INTEGER PRIMARY KEY
) STRICT;

CREATE TABLE cursor (
  consumer  TEXT NOT NULL,
  partition INTEGER NOT NULL,
  pos       INTEGER NOT NULL,
  PRIMARY KEY (consumer, partition)
) STRICT, WITHOUT ROWID;

CREATE TABLE lease (
  consumer   TEXT NOT NULL,
  partition  INTEGER NOT NULL,
  owner      TEXT NOT NULL,
  epoch      INTEGER NOT NULL,
  expires_at INTEGER NOT NULL,
  PRIMARY KEY (consumer, partition)
) STRICT, WITHOUT ROWID;

CREATE TABLE customer (
  id         TEXT PRIMARY KEY,
  name       TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  language   TEXT NOT NULL
) STRICT;

CREATE TABLE identity (
  scheme      TEXT NOT NULL,
  scope       TEXT NOT NULL,
  value       TEXT NOT NULL,
  customer_id TEXT NOT NULL REFERENCES customer (id),
  evidence    TEXT NOT NULL,
  since       INTEGER NOT NULL,
  name        TEXT NOT NULL,
  opted_out   INTEGER NOT NULL CHECK (opted_out IN (0, 1)),
  PRIMARY KEY (scheme, scope, value)
) STRICT;
CREATE INDEX identity_of_customer ON identity (customer_id, since);

CREATE TABLE merge (
  id            INTEGER PRIMARY KEY,
  from_customer TEXT NOT NULL,
  to_customer   TEXT NOT NULL,
  at            INTEGER NOT NULL,
  identities    BLOB NOT NULL
) STRICT;
CREATE INDEX merge_of_pair ON merge (from_customer, to_customer);

CREATE TABLE counter (
  name  TEXT PRIMARY KEY,
  value INTEGER NOT NULL
) STRICT;
INSERT INTO counter VALUES ('conversation', 0);

CREATE TABLE queue (
  id         TEXT PRIMARY KEY,
  name       TEXT NOT NULL UNIQUE,
  created_at INTEGER NOT NULL,
  is_default INTEGER NOT NULL CHECK (is_default IN (0, 1))
) STRICT;
CREATE UNIQUE INDEX queue_one_default ON queue (is_default) WHERE is_default = 1;

CREATE TABLE agent (
  id               TEXT PRIMARY KEY,
  name             TEXT NOT NULL,
  email            TEXT NOT NULL,
  role             TEXT NOT NULL,
  created_at       INTEGER NOT NULL,
  presence         TEXT NOT NULL,
  capacity         INTEGER NOT NULL,
  disabled         INTEGER NOT NULL CHECK (disabled IN (0, 1)),
  last_assigned_at INTEGER,
  password_hash    TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE UNIQUE INDEX agent_email ON agent (email) WHERE email != '';

CREATE TABLE member (
  queue_id TEXT NOT NULL REFERENCES queue (id) ON DELETE CASCADE,
  agent_id TEXT NOT NULL REFERENCES agent (id) ON DELETE CASCADE,
  PRIMARY KEY (queue_id, agent_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX member_agent ON member (agent_id);

CREATE TABLE credential (
  id         TEXT PRIMARY KEY,
  agent_id   TEXT NOT NULL REFERENCES agent (id) ON DELETE CASCADE,
  kind       TEXT NOT NULL,
  digest     TEXT NOT NULL UNIQUE,
  created_at INTEGER NOT NULL,
  used_at    INTEGER NOT NULL,
  expires_at INTEGER NOT NULL,
  label      TEXT NOT NULL
) STRICT;
CREATE INDEX credential_of_agent ON credential (agent_id, kind);

CREATE TABLE conversation (
  id                TEXT PRIMARY KEY,
  number            INTEGER NOT NULL UNIQUE,
  channel           TEXT NOT NULL,
  scheme            TEXT NOT NULL,
  scope             TEXT NOT NULL,
  value             TEXT NOT NULL,
  customer_id       TEXT NOT NULL REFERENCES customer (id),
  thread            TEXT NOT NULL,
  state             TEXT NOT NULL,
  queue_id          TEXT NOT NULL,
  created_at        INTEGER NOT NULL,
  updated_at        INTEGER NOT NULL,
  assignee_id       TEXT NOT NULL,
  waiting_since     INTEGER,
  snoozed_until     INTEGER,
  preview           TEXT NOT NULL,
  last_pos          INTEGER NOT NULL,
  last_inbound_pos  INTEGER NOT NULL,
  seen_pos          INTEGER NOT NULL,
  customer_seen_pos INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX conversation_unresolved ON conversation (channel, scheme, scope, value) WHERE state != 'resolved';
CREATE INDEX conversation_of_identity ON conversation (scheme, scope, value, channel, number);
CREATE INDEX conversation_of_customer ON conversation (customer_id, number);
CREATE INDEX conversation_of_thread ON conversation (channel, thread) WHERE state != 'resolved';
CREATE INDEX conversation_of_assignee ON conversation (assignee_id) WHERE state = 'open';
CREATE INDEX conversation_waiting ON conversation (queue_id, waiting_since) WHERE state = 'queued';
CREATE INDEX conversation_snoozed ON conversation (snoozed_until) WHERE state = 'snoozed';
CREATE INDEX conversation_recent ON conversation (last_pos);
-- Almost all conversations are resolved ones; the inbox never walks through them.
CREATE INDEX conversation_live ON conversation (last_pos) WHERE state != 'resolved';

CREATE TABLE message (
  pos                INTEGER PRIMARY KEY,
  id                 TEXT NOT NULL UNIQUE,
  conversation_id    TEXT NOT NULL REFERENCES conversation (id),
  customer_id        TEXT NOT NULL,
  kind               TEXT NOT NULL,
  author_kind        TEXT NOT NULL,
  author_id          TEXT NOT NULL,
  author_name        TEXT NOT NULL,
  at                 INTEGER NOT NULL,
  received_at        INTEGER NOT NULL,
  channel            TEXT NOT NULL,
  reply_to           TEXT NOT NULL,
  album              TEXT NOT NULL,
  forwarded_from     TEXT NOT NULL,
  edited_at          INTEGER,
  deleted            INTEGER NOT NULL CHECK (deleted IN (0, 1)),
  status             TEXT NOT NULL,
  problem            TEXT NOT NULL,
  possible_duplicate INTEGER NOT NULL CHECK (possible_duplicate IN (0, 1)),
  reactions          BLOB NOT NULL,
  parts              BLOB NOT NULL
) STRICT;
CREATE INDEX message_of_customer ON message (customer_id, pos);
CREATE INDEX message_of_conversation ON message (conversation_id, pos);

CREATE TABLE provider_message (
  channel     TEXT NOT NULL,
  provider_id TEXT NOT NULL,
  message_id  TEXT NOT NULL,
  part        INTEGER NOT NULL,
  PRIMARY KEY (channel, provider_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX provider_message_parts ON provider_message (message_id, part);

CREATE TABLE parked (
  id          INTEGER PRIMARY KEY,
  channel     TEXT NOT NULL,
  provider_id TEXT NOT NULL,
  data        BLOB NOT NULL,
  at          INTEGER NOT NULL
) STRICT;
CREATE INDEX parked_of_message ON parked (channel, provider_id);

CREATE TABLE decision (
  id              INTEGER PRIMARY KEY,
  conversation_id TEXT NOT NULL,
  queue_id        TEXT NOT NULL,
  at              INTEGER NOT NULL,
  outcome         TEXT NOT NULL,
  agent_id        TEXT NOT NULL,
  reason          TEXT NOT NULL,
  candidates      BLOB NOT NULL
) STRICT;
CREATE INDEX decision_of_conversation ON decision (conversation_id, id);

-- seq is the order of acceptance. finished is 1 from a terminal status on: such an item only serves look-ups.
CREATE TABLE outbox (
  seq             INTEGER PRIMARY KEY,
  message_id      TEXT NOT NULL UNIQUE,
  conversation_id TEXT NOT NULL,
  channel         TEXT NOT NULL,
  thread          TEXT NOT NULL,
  reply_to        TEXT NOT NULL,
  status          TEXT NOT NULL,
  finished        INTEGER NOT NULL CHECK (finished IN (0, 1)),
  attempts        INTEGER NOT NULL,
  unknowns        INTEGER NOT NULL,
  part_from       INTEGER NOT NULL,
  next_at         INTEGER NOT NULL,
  expires_at      INTEGER NOT NULL,
  accepted_at     INTEGER NOT NULL,
  parts           BLOB NOT NULL
) STRICT;
CREATE UNIQUE INDEX outbox_one_in_flight ON outbox (conversation_id) WHERE status = 'sending';
CREATE INDEX outbox_unfinished ON outbox (conversation_id, seq) WHERE finished = 0;
CREATE INDEX outbox_due ON outbox (next_at) WHERE finished = 0;
CREATE INDEX outbox_life ON outbox (expires_at) WHERE finished = 0;

CREATE TABLE attempt (
  message_id  TEXT NOT NULL REFERENCES outbox (message_id),
  number      INTEGER NOT NULL,
  started_at  INTEGER NOT NULL,
  finished_at INTEGER,
  outcome     TEXT NOT NULL,
  code        TEXT NOT NULL,
  detail      TEXT NOT NULL,
  PRIMARY KEY (message_id, number)
) STRICT, WITHOUT ROWID;

CREATE TABLE media_job (
  id         TEXT PRIMARY KEY,
  channel    TEXT NOT NULL,
  message_id TEXT NOT NULL,
  part       INTEGER NOT NULL,
  ref        TEXT NOT NULL,
  attempts   INTEGER NOT NULL,
  next_at    INTEGER NOT NULL
) STRICT;
CREATE INDEX media_job_due ON media_job (next_at);

CREATE TABLE file (
  id              TEXT PRIMARY KEY,
  sha256          TEXT NOT NULL,
  mime            TEXT NOT NULL,
  name            TEXT NOT NULL,
  size            INTEGER NOT NULL,
  created_at      INTEGER NOT NULL,
  conversation_id TEXT NOT NULL,
  uploader        TEXT NOT NULL
) STRICT;

CREATE TABLE request (
  principal   TEXT NOT NULL,
  key         TEXT NOT NULL,
  fingerprint TEXT NOT NULL,
  status      INTEGER NOT NULL,
  at          INTEGER NOT NULL,
  body        BLOB NOT NULL,
  PRIMARY KEY (principal, key)
) STRICT;
CREATE INDEX request_age ON request (at);
