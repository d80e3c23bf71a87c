-- Times are microseconds since 1970 in UTC. Empty text stands for "none", NULL for a time that is not set.

-- The control characters 0 and 1 of a text are kept as 1 followed by "0" or "1" (storage/postgres/connection.py): PostgreSQL's text
-- cannot hold the first. Text is compared by its bytes: so an upgrade of the system's collations damages no index.

-- The stream: written once, at the end. Every further index costs each message.
CREATE TABLE event (
  pos          BIGINT PRIMARY KEY,
  prev_pos     BIGINT NOT NULL,
  partition    BIGINT NOT NULL CHECK (partition BETWEEN 0 AND 15),
  at           BIGINT NOT NULL,
  type         TEXT COLLATE "C" NOT NULL,
  channel      TEXT COLLATE "C" NOT NULL,
  key          TEXT COLLATE "C" NOT NULL,
  conversation TEXT COLLATE "C" NOT NULL,
  queues       TEXT COLLATE "C" NOT NULL,
  agent        TEXT COLLATE "C" NOT NULL,
  identity     TEXT COLLATE "C" NOT NULL,
  data         BYTEA NOT NULL,
  raw          BYTEA NOT NULL
);
CREATE INDEX event_of_partition ON event (partition, pos);

-- What makes "received twice" harmless. hash is 64 bits of (channel, key); an event whose hash is taken by another key has hash + 1, and so on.
-- An integer key costs a fraction of an index over random text. Nothing is ever deleted here.
CREATE TABLE dedup (
  hash BIGINT PRIMARY KEY,
  pos  BIGINT NOT NULL
);

-- The newest event, of all and of each partition: one row, which every transaction that writes locks first. So the order of pos is
-- the order of commits, and no two of them ever wait for each other crosswise.
CREATE TABLE head (
  one        BOOLEAN PRIMARY KEY DEFAULT TRUE CHECK (one),
  pos        BIGINT NOT NULL,
  partitions BIGINT[] NOT NULL CHECK (array_length(partitions, 1) = 16)
) WITH (fillfactor = 10);
INSERT INTO head (pos, partitions) VALUES (0, array_fill(0, ARRAY[16]));

CREATE TABLE quarantine (
  pos BIGINT PRIMARY KEY
);

CREATE TABLE cursor (
  consumer  TEXT COLLATE "C" NOT NULL,
  partition BIGINT NOT NULL,
  pos       BIGINT NOT NULL,
  PRIMARY KEY (consumer, partition)
) WITH (fillfactor = 50);

CREATE TABLE lease (
  consumer   TEXT COLLATE "C" NOT NULL,
  partition  BIGINT NOT NULL,
  owner      TEXT COLLATE "C" NOT NULL,
  epoch      BIGINT NOT NULL,
  expires_at BIGINT NOT NULL,
  PRIMARY KEY (consumer, partition)
) WITH (fillfactor = 50);

CREATE TABLE customer (
  id         TEXT COLLATE "C" PRIMARY KEY,
  name       TEXT COLLATE "C" NOT NULL,
  created_at BIGINT NOT NULL,
  language   TEXT COLLATE "C" NOT NULL
);

CREATE TABLE identity (
  scheme      TEXT COLLATE "C" NOT NULL,
  scope       TEXT COLLATE "C" NOT NULL,
  value       TEXT COLLATE "C" NOT NULL,
  customer_id TEXT COLLATE "C" NOT NULL REFERENCES customer (id),
  evidence    TEXT COLLATE "C" NOT NULL,
  since       BIGINT NOT NULL,
  name        TEXT COLLATE "C" NOT NULL,
  opted_out   BOOLEAN NOT NULL,
  PRIMARY KEY (scheme, scope, value)
);
CREATE INDEX identity_of_customer ON identity (customer_id, since);

CREATE TABLE merge (
  id            BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  from_customer TEXT COLLATE "C" NOT NULL,
  to_customer   TEXT COLLATE "C" NOT NULL,
  at            BIGINT NOT NULL,
  identities    BYTEA NOT NULL
);
CREATE INDEX merge_of_pair ON merge (from_customer, to_customer);

CREATE TABLE counter (
  name  TEXT COLLATE "C" PRIMARY KEY,
  value BIGINT NOT NULL
);
INSERT INTO counter VALUES ('conversation', 0);

CREATE TABLE queue (
  id         TEXT COLLATE "C" PRIMARY KEY,
  name       TEXT COLLATE "C" NOT NULL UNIQUE,
  created_at BIGINT NOT NULL,
  is_default BOOLEAN NOT NULL
);
CREATE UNIQUE INDEX queue_one_default ON queue (is_default) WHERE is_default;

CREATE TABLE agent (
  id               TEXT COLLATE "C" PRIMARY KEY,
  name             TEXT COLLATE "C" NOT NULL,
  email            TEXT COLLATE "C" NOT NULL,
  role             TEXT COLLATE "C" NOT NULL,
  created_at       BIGINT NOT NULL,
  presence         TEXT COLLATE "C" NOT NULL,
  capacity         BIGINT NOT NULL,
  disabled         BOOLEAN NOT NULL,
  last_assigned_at BIGINT,
  password_hash    TEXT COLLATE "C" NOT NULL DEFAULT ''
);
CREATE UNIQUE INDEX agent_email ON agent (email) WHERE email != '';

CREATE TABLE member (
  queue_id TEXT COLLATE "C" NOT NULL REFERENCES queue (id) ON DELETE CASCADE,
  agent_id TEXT COLLATE "C" NOT NULL REFERENCES agent (id) ON DELETE CASCADE,
  PRIMARY KEY (queue_id, agent_id)
);
CREATE INDEX member_agent ON member (agent_id);

CREATE TABLE credential (
  id         TEXT COLLATE "C" PRIMARY KEY,
  agent_id   TEXT COLLATE "C" NOT NULL REFERENCES agent (id) ON DELETE CASCADE,
  kind       TEXT COLLATE "C" NOT NULL,
  digest     TEXT COLLATE "C" NOT NULL UNIQUE,
  created_at BIGINT NOT NULL,
  used_at    BIGINT NOT NULL,
  expires_at BIGINT NOT NULL,
  label      TEXT COLLATE "C" NOT NULL
);
CREATE INDEX credential_of_agent ON credential (agent_id, kind);

CREATE TABLE conversation (
  id                TEXT COLLATE "C" PRIMARY KEY,
  number            BIGINT NOT NULL UNIQUE,
  channel           TEXT COLLATE "C" NOT NULL,
  scheme            TEXT COLLATE "C" NOT NULL,
  scope             TEXT COLLATE "C" NOT NULL,
  value             TEXT COLLATE "C" NOT NULL,
  customer_id       TEXT COLLATE "C" NOT NULL REFERENCES customer (id),
  thread            TEXT COLLATE "C" NOT NULL,
  state             TEXT COLLATE "C" NOT NULL,
  queue_id          TEXT COLLATE "C" NOT NULL,
  created_at        BIGINT NOT NULL,
  updated_at        BIGINT NOT NULL,
  assignee_id       TEXT COLLATE "C" NOT NULL,
  waiting_since     BIGINT,
  snoozed_until     BIGINT,
  preview           TEXT COLLATE "C" NOT NULL,
  last_pos          BIGINT NOT NULL,
  last_inbound_pos  BIGINT NOT NULL,
  seen_pos          BIGINT NOT NULL,
  customer_seen_pos BIGINT NOT NULL
) WITH (fillfactor = 80);
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
  pos                BIGINT PRIMARY KEY,
  id                 TEXT COLLATE "C" NOT NULL UNIQUE,
  conversation_id    TEXT COLLATE "C" NOT NULL REFERENCES conversation (id),
  customer_id        TEXT COLLATE "C" NOT NULL,
  kind               TEXT COLLATE "C" NOT NULL,
  author_kind        TEXT COLLATE "C" NOT NULL,
  author_id          TEXT COLLATE "C" NOT NULL,
  author_name        TEXT COLLATE "C" NOT NULL,
  at                 BIGINT NOT NULL,
  received_at        BIGINT NOT NULL,
  channel            TEXT COLLATE "C" NOT NULL,
  reply_to           TEXT COLLATE "C" NOT NULL,
  album              TEXT COLLATE "C" NOT NULL,
  forwarded_from     TEXT COLLATE "C" NOT NULL,
  edited_at          BIGINT,
  deleted            BOOLEAN NOT NULL,
  status             TEXT COLLATE "C" NOT NULL,
  problem            TEXT COLLATE "C" NOT NULL,
  possible_duplicate BOOLEAN NOT NULL,
  reactions          BYTEA NOT NULL,
  parts              BYTEA NOT NULL
);
CREATE INDEX message_of_customer ON message (customer_id, pos);
CREATE INDEX message_of_conversation ON message (conversation_id, pos);

CREATE TABLE provider_message (
  channel     TEXT COLLATE "C" NOT NULL,
  provider_id TEXT COLLATE "C" NOT NULL,
  message_id  TEXT COLLATE "C" NOT NULL,
  part        BIGINT NOT NULL,
  PRIMARY KEY (channel, provider_id)
);
CREATE INDEX provider_message_parts ON provider_message (message_id, part);

CREATE TABLE parked (
  id          BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  channel     TEXT COLLATE "C" NOT NULL,
  provider_id TEXT COLLATE "C" NOT NULL,
  data        BYTEA NOT NULL,
  at          BIGINT NOT NULL
);
CREATE INDEX parked_of_message ON parked (channel, provider_id);

CREATE TABLE decision (
  id              BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  conversation_id TEXT COLLATE "C" NOT NULL,
  queue_id        TEXT COLLATE "C" NOT NULL,
  at              BIGINT NOT NULL,
  outcome         TEXT COLLATE "C" NOT NULL,
  agent_id        TEXT COLLATE "C" NOT NULL,
  reason          TEXT COLLATE "C" NOT NULL,
  candidates      BYTEA NOT NULL
);
CREATE INDEX decision_of_conversation ON decision (conversation_id, id);

-- seq is the order of acceptance. finished is true from a terminal status on: such an item only serves look-ups.
CREATE TABLE outbox (
  seq             BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  message_id      TEXT COLLATE "C" NOT NULL UNIQUE,
  conversation_id TEXT COLLATE "C" NOT NULL,
  channel         TEXT COLLATE "C" NOT NULL,
  thread          TEXT COLLATE "C" NOT NULL,
  reply_to        TEXT COLLATE "C" NOT NULL,
  status          TEXT COLLATE "C" NOT NULL,
  finished        BOOLEAN NOT NULL,
  attempts        BIGINT NOT NULL,
  unknowns        BIGINT NOT NULL,
  part_from       BIGINT NOT NULL,
  next_at         BIGINT NOT NULL,
  expires_at      BIGINT NOT NULL,
  accepted_at     BIGINT NOT NULL,
  parts           BYTEA NOT NULL,
  partition       BIGINT NOT NULL CHECK (partition BETWEEN 0 AND 15)
) WITH (fillfactor = 80);
CREATE UNIQUE INDEX outbox_one_in_flight ON outbox (conversation_id) WHERE status = 'sending';
CREATE INDEX outbox_unfinished ON outbox (conversation_id, seq) WHERE NOT finished;
CREATE INDEX outbox_due ON outbox (next_at) WHERE NOT finished;
CREATE INDEX outbox_life ON outbox (expires_at) WHERE NOT finished;

CREATE TABLE attempt (
  message_id  TEXT COLLATE "C" NOT NULL REFERENCES outbox (message_id),
  number      BIGINT NOT NULL,
  started_at  BIGINT NOT NULL,
  finished_at BIGINT,
  outcome     TEXT COLLATE "C" NOT NULL,
  code        TEXT COLLATE "C" NOT NULL,
  detail      TEXT COLLATE "C" NOT NULL,
  PRIMARY KEY (message_id, number)
);

CREATE TABLE media_job (
  id         TEXT COLLATE "C" PRIMARY KEY,
  channel    TEXT COLLATE "C" NOT NULL,
  message_id TEXT COLLATE "C" NOT NULL,
  part       BIGINT NOT NULL,
  ref        TEXT COLLATE "C" NOT NULL,
  attempts   BIGINT NOT NULL,
  next_at    BIGINT NOT NULL
);
CREATE INDEX media_job_due ON media_job (next_at);

CREATE TABLE file (
  id              TEXT COLLATE "C" PRIMARY KEY,
  sha256          TEXT COLLATE "C" NOT NULL,
  mime            TEXT COLLATE "C" NOT NULL,
  name            TEXT COLLATE "C" NOT NULL,
  size            BIGINT NOT NULL,
  created_at      BIGINT NOT NULL,
  conversation_id TEXT COLLATE "C" NOT NULL,
  uploader        TEXT COLLATE "C" NOT NULL
);

CREATE TABLE request (
  principal   TEXT COLLATE "C" NOT NULL,
  key         TEXT COLLATE "C" NOT NULL,
  fingerprint TEXT COLLATE "C" NOT NULL,
  status      BIGINT NOT NULL,
  at          BIGINT NOT NULL,
  body        BYTEA NOT NULL,
  PRIMARY KEY (principal, key)
);
CREATE INDEX request_age ON request (at);

-- What all nodes must agree on.
CREATE TABLE setting (
  name  TEXT COLLATE "C" PRIMARY KEY,
  value TEXT COLLATE "C" NOT NULL
);

-- Processes that run, or did until expires_at.
CREATE TABLE node (
  id         TEXT COLLATE "C" PRIMARY KEY,
  roles      TEXT COLLATE "C" NOT NULL,
  since      BIGINT NOT NULL,
  version    TEXT COLLATE "C" NOT NULL,
  expires_at BIGINT NOT NULL
) WITH (fillfactor = 50);

-- Bytes of files by the hash of their content, in pieces.
CREATE TABLE blob (
  sha256 TEXT COLLATE "C" NOT NULL,
  number BIGINT NOT NULL,
  data   BYTEA NOT NULL,
  PRIMARY KEY (sha256, number)
);
-- Pictures and recordings do not compress.
ALTER TABLE blob ALTER COLUMN data SET STORAGE EXTERNAL;
