-- States of sales after a fact, so that a start need not replay everything. Nothing is lost with this file but time.
-- chain is the journal's chain at seq, checksum a keyed hash over the whole row.
CREATE TABLE snapshots (
    event_id BLOB    NOT NULL,
    seq      INTEGER NOT NULL,
    chain    BLOB    NOT NULL,
    checksum BLOB    NOT NULL,
    body     BLOB    NOT NULL,
    PRIMARY KEY (event_id, seq)
) STRICT;
