-- compatible with: 0001
-- After an outage: inbound events that wait until every node has handed over its spool, and then go into the stream in the order of
-- taken_at, which is by this server's clock. Who writes here has locked the head.
CREATE TABLE gathered (
  id           BIGINT PRIMARY KEY,
  taken_at     BIGINT NOT NULL,
  partition    BIGINT NOT NULL,
  at           BIGINT NOT NULL,
  type         TEXT COLLATE "C" NOT NULL,
  channel      TEXT COLLATE "C" NOT NULL,
  key          TEXT COLLATE "C" NOT NULL,
  conversation TEXT COLLATE "C" NOT NULL,
  queues       TEXT COLLATE "C" NOT NULL,
  agent        TEXT COLLATE "C" NOT NULL,
  identity     TEXT COLLATE "C" NOT NULL,
  data         BYTEA NOT NULL,
  raw          BYTEA NOT NULL,
  UNIQUE (channel, key)
);
CREATE INDEX gathered_in_order ON gathered (taken_at, id);

-- The spools of all nodes: done is the gathering for which one has handed over everything, taken_at the newest that it has handed over.
CREATE TABLE spool (
  id       TEXT COLLATE "C" PRIMARY KEY,
  seen_at  BIGINT NOT NULL,
  done     BIGINT NOT NULL,
  taken_at BIGINT NOT NULL
) WITH (fillfactor = 50);

-- When the server was started that the last append came to, and since when events are gathered (0: they are not).
ALTER TABLE head ADD COLUMN server BIGINT NOT NULL DEFAULT 0, ADD COLUMN gathering BIGINT NOT NULL DEFAULT 0;
UPDATE head SET server = (extract(epoch FROM pg_postmaster_start_time()) * 1000000)::bigint;
