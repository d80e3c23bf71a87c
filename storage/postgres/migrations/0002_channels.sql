-- compatible with: 0001
-- What the channels need: since when one may answer, what everybody can read, how far each piece has come, and whose turn it is.
ALTER TABLE conversation ADD COLUMN last_private_at BIGINT;

ALTER TABLE message ADD COLUMN public BOOLEAN NOT NULL DEFAULT FALSE;
ALTER TABLE message ADD COLUMN automatic BOOLEAN NOT NULL DEFAULT FALSE;
ALTER TABLE message ADD COLUMN pieces BIGINT NOT NULL DEFAULT 0;
ALTER TABLE message ADD COLUMN sent_at BIGINT;

ALTER TABLE provider_message ADD COLUMN status TEXT COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE provider_message ADD COLUMN problem TEXT COLLATE "C" NOT NULL DEFAULT '';

ALTER TABLE outbox ADD COLUMN public BOOLEAN NOT NULL DEFAULT FALSE;
ALTER TABLE outbox ADD COLUMN priority BIGINT NOT NULL DEFAULT 0;
ALTER TABLE outbox ADD COLUMN automatic BOOLEAN NOT NULL DEFAULT FALSE;
ALTER TABLE outbox ADD COLUMN author TEXT COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE outbox ADD COLUMN window_from BIGINT;
-- Whoever sends takes them in this order and stops early, however many wait behind.
CREATE INDEX outbox_turn ON outbox (priority, seq) WHERE NOT finished;
