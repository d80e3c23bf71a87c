-- Whoever sends looks at each channel for itself: what waits in one is no work for the others.
DROP INDEX outbox_turn;
DROP INDEX outbox_due;
CREATE INDEX outbox_turn ON outbox (channel, priority, seq) WHERE finished = 0;
CREATE INDEX outbox_due ON outbox (channel, priority, next_at) WHERE finished = 0;
