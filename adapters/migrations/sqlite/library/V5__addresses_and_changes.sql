-- Addresses, of mail and of clients. Hashes are keyed with a secret that is not here.

-- email_hash is that of the address' normal form. A deleted account keeps it and nothing personal, so that what it bought
-- counts for whoever signs up with the same address.
ALTER TABLE accounts ADD COLUMN email_hash BLOB;
CREATE INDEX accounts_by_email_hash ON accounts (email_hash) WHERE email_hash IS NOT NULL;

-- The form that email_key of every row has: 0 without case; 1 the normal form (NFKC, no format characters, case folded).
-- Where two living accounts have one normal form, the older has it and the other keeps its former key.
CREATE TABLE email_form (
    one     INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),
    version INTEGER NOT NULL
) STRICT;
INSERT INTO email_form VALUES (1, 0);

-- The clients' addresses that accounts have logged in from, the latest of each.
CREATE TABLE known_addresses (
    account_id BLOB    NOT NULL,
    address    BLOB    NOT NULL,
    used_at    INTEGER NOT NULL,
    PRIMARY KEY (account_id, address)
) STRICT, WITHOUT ROWID;

-- What administrators changed in the catalogue, written with the change; what they did to sales is in the journal.
CREATE TABLE catalogue_changes (
    id       BLOB    NOT NULL PRIMARY KEY,
    thing    TEXT    NOT NULL CHECK (thing IN ('EVENT', 'VENUE', 'HALL')),
    thing_id BLOB    NOT NULL,
    at       INTEGER NOT NULL,
    by_id    BLOB    NOT NULL,
    action   TEXT    NOT NULL,
    members  TEXT    NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX catalogue_changes_by_thing ON catalogue_changes (thing_id, at);
