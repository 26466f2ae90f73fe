-- sweep.db, version 1. Outcomes only: what is missing here is what is left to run.

-- What was swept last: the key 'grid.toml' holds that file's text, 'identity' the JSON of what
-- names cells besides their parameters. `crc` is the CRC-32 of the text.
CREATE TABLE sweep (
    key   TEXT PRIMARY KEY,
    value TEXT NOT NULL,
    crc   INTEGER NOT NULL
) STRICT;

-- One row each time a sweep ran something: on what machine, with which versions of what.
CREATE TABLE session (
    id          INTEGER PRIMARY KEY,
    started_at  TEXT NOT NULL,     -- UTC, ISO 8601
    environment TEXT NOT NULL      -- JSON
) STRICT;

-- Epochs that a trajectory completed. It serves every cell whose budget is at most `epochs`;
-- without a budget axis it is the cell.
CREATE TABLE history (
    trajectory  TEXT PRIMARY KEY,  -- 16 hexadecimal digits, see gridrun/cell.py
    params      TEXT NOT NULL,     -- JSON, without the budget axis
    epochs      INTEGER NOT NULL,
    metrics     TEXT NOT NULL,     -- JSON, one object an epoch; NaN is null
    wall_s      REAL NOT NULL,
    finished_at TEXT NOT NULL,
    session     INTEGER NOT NULL REFERENCES session (id),
    crc         INTEGER NOT NULL   -- CRC-32 of trajectory, epochs, params and metrics: SQLite checks no payload
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
    crc         INTEGER NOT NULL   -- CRC-32 of trajectory, params, reason, traceback and its epochs in history
) STRICT;
