-- compatible with: 0001
-- What a scanner said of a file: empty (nobody has looked), waiting, clean or withheld; and what it found, or why it has not looked yet.
ALTER TABLE file ADD COLUMN verdict TEXT COLLATE "C" NOT NULL DEFAULT '', ADD COLUMN finding TEXT COLLATE "C" NOT NULL DEFAULT '';
