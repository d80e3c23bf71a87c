-- What channels and their providers said to each other: the newest of each channel, for at most a week. Times as in the stream.
CREATE TABLE channel_log (
  channel TEXT NOT NULL,
  id      TEXT NOT NULL,
  at      INTEGER NOT NULL,
  kind    TEXT NOT NULL,
  ok      INTEGER NOT NULL CHECK (ok IN (0, 1)),
  data    BLOB NOT NULL
) STRICT;
CREATE UNIQUE INDEX channel_log_id ON channel_log (channel, id);
CREATE INDEX channel_log_kind ON channel_log (channel, kind, id);

-- Ids of messages, ours and the providers', that a record concerns.
CREATE TABLE channel_log_link (
  channel TEXT NOT NULL,
  ref     TEXT NOT NULL,
  log_id  TEXT NOT NULL,
  PRIMARY KEY (channel, ref, log_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX channel_log_link_age ON channel_log_link (channel, log_id);

CREATE TABLE channel_health (
  channel TEXT PRIMARY KEY,
  data    BLOB NOT NULL
) STRICT, WITHOUT ROWID;
