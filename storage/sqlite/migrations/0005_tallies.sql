-- How often something was done by one party within an hour (hours since 1970 in UTC), for limits that nobody may forget at a restart.
CREATE TABLE tally (
  name  TEXT NOT NULL,
  hour  INTEGER NOT NULL,
  count INTEGER NOT NULL,
  PRIMARY KEY (name, hour)
) STRICT, WITHOUT ROWID;
CREATE INDEX tally_hour ON tally (hour);
