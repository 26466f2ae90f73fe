-- sweep.db, version 3. Outcomes only: what is missing here is what is left to run.
-- Older versions lacked what is marked "since version 2" or 3: see migrate-1.sql (from 1 to 2) and migrate-2.sql.

-- What was swept last: the key 'grid.toml' holds that file's text, 'identity' the JSON of what
-- names cells besides their parameters, 'reruns' that of what was run once more afterwards (gridrun/refit.py).
-- `crc` is the CRC-32 of the text.
CREATE TABLE sweep (
    key   TEXT PRIMARY KEY,
    value TEXT NOT NULL,
    crc   INTEGER NOT NULL
) STRICT;

-- One row each time a sweep ran something: on what machine, with which versions of what.
CREATE TABLE session (
    id          INTEGER PRIMARY KEY,
    started_at  TEXT NOT NULL,     -- UTC, ISO 8601
    environment TEXT NOT NULL,     -- JSON
    -- since version 2
    sources     TEXT,              -- JSON, a hash for each module of the trainer's
    defaults    TEXT,              -- JSON, the trainer's values of what grid.toml leaves alone
    -- since version 3
    crc         INTEGER            -- CRC-32 of the texts above; NULL in rows of an older version
) STRICT;

-- Epochs that a trajectory completed. It serves every cell whose budget is at most `epochs`, and every
-- larger one if it ended by itself; without a budget axis it is the cell.
CREATE TABLE history (
    trajectory  TEXT PRIMARY KEY,  -- 16 hexadecimal digits, see gridrun/cell.py
    params      TEXT NOT NULL,     -- JSON, without the budget axis
    epochs      INTEGER NOT NULL,
    metrics     TEXT NOT NULL,     -- JSON, one object an epoch; NaN is null
    wall_s      REAL NOT NULL,
    finished_at TEXT NOT NULL,
    session     INTEGER NOT NULL REFERENCES session (id),
    crc         INTEGER NOT NULL,  -- CRC-32 of trajectory, epochs, params, metrics and, if not 0, ended
    -- since version 2
    ended       INTEGER NOT NULL DEFAULT 0,  -- 1: the run ended by itself, before the epochs it was asked for
    seconds     TEXT,              -- JSON, seconds from the start to the end of each epoch
    place       TEXT,              -- machine and process
    code        TEXT               -- digest of the trainer's sources, as the worker had them
) STRICT;

-- What ended a trajectory before it had all the epochs asked of it. Its cells beyond `history` have failed.
CREATE TABLE failure (
    trajectory  TEXT PRIMARY KEY,
    params      TEXT NOT NULL,
    reason      TEXT NOT NULL,     -- one line
    traceback   TEXT NOT NULL,     -- or the stack where it hung; may be empty
    wall_s      REAL NOT NULL,
    finished_at TEXT NOT NULL,
    session     INTEGER NOT NULL REFERENCES session (id),
    crc         INTEGER NOT NULL,  -- CRC-32 of trajectory, params, reason, traceback and its epochs in history
    -- since version 2
    place       TEXT
) STRICT;

-- Since version 2. A truth value for each held-out example, as a trajectory's epoch gave it.
CREATE TABLE bits (
    trajectory  TEXT NOT NULL,
    metric      TEXT NOT NULL,
    epoch       INTEGER NOT NULL,  -- from 1
    count       INTEGER NOT NULL,  -- of examples
    packed      BLOB NOT NULL,     -- the first example in the highest bit of the first byte
    crc         INTEGER NOT NULL,  -- CRC-32 of all these
    PRIMARY KEY (trajectory, metric, epoch)
) STRICT, WITHOUT ROWID;

-- Since version 3. What a trajectory printed when it ran last, its first and last part (gridrun/output.py).
CREATE TABLE output (
    trajectory  TEXT PRIMARY KEY,
    text        TEXT NOT NULL,
    size        INTEGER NOT NULL,  -- bytes that were printed, those left out included
    crc         INTEGER NOT NULL   -- CRC-32 of all these
) STRICT;
