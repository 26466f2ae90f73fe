-- From version 1 to version 2.
ALTER TABLE session ADD COLUMN sources TEXT;
ALTER TABLE session ADD COLUMN defaults TEXT;
ALTER TABLE history ADD COLUMN ended INTEGER NOT NULL DEFAULT 0;
ALTER TABLE history ADD COLUMN seconds TEXT;
ALTER TABLE history ADD COLUMN place TEXT;
ALTER TABLE history ADD COLUMN code TEXT;
ALTER TABLE failure ADD COLUMN place TEXT;
CREATE TABLE bits (
    trajectory  TEXT NOT NULL,
    metric      TEXT NOT NULL,
    epoch       INTEGER NOT NULL,
    count       INTEGER NOT NULL,
    packed      BLOB NOT NULL,
    crc         INTEGER NOT NULL,
    PRIMARY KEY (trajectory, metric, epoch)
) STRICT, WITHOUT ROWID;
-- Version 1 called it a failure when a run ended by itself. Such runs are made once more.
DELETE FROM failure WHERE reason LIKE 'yielded % mappings of metrics, % were needed';
