-- compatible with: 0001
-- What channels and their providers said to each other: the newest of each channel, for at most a week.
CREATE TABLE channel_log (
  channel TEXT COLLATE "C" NOT NULL,
  id      TEXT COLLATE "C" NOT NULL,
  at      BIGINT NOT NULL,
  kind    TEXT COLLATE "C" NOT NULL,
  ok      BOOLEAN NOT NULL,
  data    BYTEA NOT NULL,
  PRIMARY KEY (channel, id)
);
CREATE INDEX channel_log_kind ON channel_log (channel, kind, id);

-- Ids of messages, ours and the providers', that a record concerns.
CREATE TABLE channel_log_link (
  channel TEXT COLLATE "C" NOT NULL,
  ref     TEXT COLLATE "C" NOT NULL,
  log_id  TEXT COLLATE "C" NOT NULL,
  PRIMARY KEY (channel, ref, log_id)
);
CREATE INDEX channel_log_link_age ON channel_log_link (channel, log_id);

CREATE TABLE channel_health (
  channel TEXT COLLATE "C" PRIMARY KEY,
  data    BYTEA NOT NULL
);
