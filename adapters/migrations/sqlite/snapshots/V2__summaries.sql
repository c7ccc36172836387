-- What is worth knowing of an event that is over and has left memory: with it a start need not read the event. It stands
-- while chain is the journal's last of that event. checksum is a keyed hash over the whole row.
CREATE TABLE summaries (
    event_id BLOB    NOT NULL PRIMARY KEY,
    seq      INTEGER NOT NULL,
    epoch    INTEGER NOT NULL,
    chain    BLOB    NOT NULL,
    checksum BLOB    NOT NULL,
    body     BLOB    NOT NULL
) STRICT, WITHOUT ROWID;
