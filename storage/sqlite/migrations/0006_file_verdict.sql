-- What a scanner said of a file: empty (nobody has looked), waiting, clean or withheld; and what it found, or why it has not looked yet.
ALTER TABLE file ADD COLUMN verdict TEXT NOT NULL DEFAULT '';
ALTER TABLE file ADD COLUMN finding TEXT NOT NULL DEFAULT '';
