-- compatible with: 0001
-- How often something was done by one party within an hour (hours since 1970 in UTC), for limits that nobody may forget at a restart.
CREATE TABLE tally (
  name  TEXT COLLATE "C" NOT NULL,
  hour  BIGINT NOT NULL,
  count BIGINT NOT NULL,
  PRIMARY KEY (name, hour)
);
CREATE INDEX tally_hour ON tally (hour);
