-- The truth: what has happened to every sale, in order. Written by one connection only.
-- kind is the number of the fact's kind, body its versioned stored form, at microseconds since 1970,
-- chain the running keyed hash over all of the row and everything before it.
CREATE TABLE journal (
    event_id BLOB    NOT NULL,
    seq      INTEGER NOT NULL,
    epoch    INTEGER NOT NULL,
    at       INTEGER NOT NULL,
    kind     INTEGER NOT NULL,
    body     BLOB    NOT NULL,
    chain    BLOB    NOT NULL,
    PRIMARY KEY (event_id, seq)
) STRICT, WITHOUT ROWID;

-- Who may write: a row with another epoch than its event's lease is refused.
CREATE TABLE leases (
    event_id BLOB    NOT NULL PRIMARY KEY,
    epoch    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
