-- Who sends a reply, once several nodes share the work: the owner of its conversation's partition.
ALTER TABLE outbox ADD COLUMN partition INTEGER NOT NULL DEFAULT 0 CHECK (partition BETWEEN 0 AND 15);

-- What all nodes must agree on.
CREATE TABLE setting (
  name  TEXT PRIMARY KEY,
  value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- Processes that run, or did until expires_at.
CREATE TABLE node (
  id         TEXT PRIMARY KEY,
  roles      TEXT NOT NULL,
  since      INTEGER NOT NULL,
  version    TEXT NOT NULL,
  expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
