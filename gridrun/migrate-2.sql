-- From version 2 to version 3.
ALTER TABLE session ADD COLUMN crc INTEGER;
CREATE TABLE output (
    trajectory  TEXT PRIMARY KEY,
    text        TEXT NOT NULL,
    size        INTEGER NOT NULL,
    crc         INTEGER NOT NULL
) STRICT;
