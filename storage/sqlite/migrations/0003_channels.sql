-- What the channels need: since when one may answer, what everybody can read, how far each piece has come, and whose turn it is.
ALTER TABLE conversation ADD COLUMN last_private_at INTEGER;

ALTER TABLE message ADD COLUMN public INTEGER NOT NULL DEFAULT 0 CHECK (public IN (0, 1));
ALTER TABLE message ADD COLUMN automatic INTEGER NOT NULL DEFAULT 0 CHECK (automatic IN (0, 1));
ALTER TABLE message ADD COLUMN pieces INTEGER NOT NULL DEFAULT 0;
ALTER TABLE message ADD COLUMN sent_at INTEGER;

ALTER TABLE provider_message ADD COLUMN status TEXT NOT NULL DEFAULT '';
ALTER TABLE provider_message ADD COLUMN problem TEXT NOT NULL DEFAULT '';

ALTER TABLE outbox ADD COLUMN public INTEGER NOT NULL DEFAULT 0 CHECK (public IN (0, 1));
ALTER TABLE outbox ADD COLUMN priority INTEGER NOT NULL DEFAULT 0;
ALTER TABLE outbox ADD COLUMN automatic INTEGER NOT NULL DEFAULT 0 CHECK (automatic IN (0, 1));
ALTER TABLE outbox ADD COLUMN author TEXT NOT NULL DEFAULT '';
ALTER TABLE outbox ADD COLUMN window_from INTEGER;
-- Whoever sends takes them in this order and stops early, however many wait behind.
CREATE INDEX outbox_turn ON outbox (priority, seq) WHERE finished = 0;
