-- What is worth knowing of an event that is over and has left memory: with it a start need not read the event. It stands
-- while chain is the journal's last of that event, and epoch its lease's. checksum is a keyed hash over the whole row.
CREATE TABLE summaries (
    event_id uuid   NOT NULL PRIMARY KEY,
    seq      bigint NOT NULL,
    epoch    bigint NOT NULL,
    chain    bytea  NOT NULL,
    checksum bytea  NOT NULL,
    body     bytea  NOT NULL
);
