-- compatible with: 0001
-- Whoever sends looks at each channel for itself: what waits in one is no work for the others.
DROP INDEX outbox_turn;
DROP INDEX outbox_due;
CREATE INDEX outbox_turn ON outbox (channel, priority, seq) WHERE NOT finished;
CREATE INDEX outbox_due ON outbox (channel, priority, next_at) WHERE NOT finished;

-- Until when a spool that nobody reports is waited for; since when one has been reported without a gap (0: unknown), whether it was
-- empty at the last report, and when others heard that it began to fill.
ALTER TABLE head ADD COLUMN silent_until BIGINT NOT NULL DEFAULT 0;
ALTER TABLE spool ADD COLUMN steady_since BIGINT NOT NULL DEFAULT 0, ADD COLUMN warned_at BIGINT NOT NULL DEFAULT 0,
  ADD COLUMN idle BOOLEAN NOT NULL DEFAULT false;
