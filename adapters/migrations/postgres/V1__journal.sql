-- The truth: what has happened to every sale, in order. Written by the node that holds the event's lease.
-- kind is the number of the fact's kind, body its versioned stored form, at microseconds since 1970,
-- chain the running keyed hash over all of the row and everything before it.
CREATE TABLE journal (
    event_id uuid     NOT NULL,
    seq      bigint   NOT NULL,
    epoch    bigint   NOT NULL,
    at       bigint   NOT NULL,
    kind     smallint NOT NULL,
    body     bytea    NOT NULL,
    chain    bytea    NOT NULL,
    PRIMARY KEY (event_id, seq)
);

-- Processes that have the database open. expires_at moves on as long as the process lives, by this server's clock; it
-- also holds the advisory lock (1869505389, lock_key) as long as its connection does, which says nothing once the
-- server itself was restarted. One of them is active: it owns the events. A row is deleted by whoever finds it expired
-- or its lock free.
CREATE TABLE nodes (
    id                uuid        NOT NULL PRIMARY KEY,
    lock_key          integer     NOT NULL,
    active            boolean     NOT NULL DEFAULT false,
    started_at        timestamptz NOT NULL DEFAULT clock_timestamp(),
    server_started_at timestamptz NOT NULL,
    expires_at        timestamptz NOT NULL
);
CREATE UNIQUE INDEX nodes_one_active ON nodes (active) WHERE active;

-- Who may write: a journal row with another epoch than its event's lease is refused.
CREATE TABLE leases (
    event_id uuid   NOT NULL PRIMARY KEY,
    epoch    bigint NOT NULL,
    node     uuid   NOT NULL
) WITH (fillfactor = 50);

-- States of sales after a fact, so that a start need not replay everything. Nothing is lost with them but time.
-- chain is the journal's chain at seq, checksum a keyed hash over the whole row.
CREATE TABLE snapshots (
    event_id uuid   NOT NULL,
    seq      bigint NOT NULL,
    chain    bytea  NOT NULL,
    checksum bytea  NOT NULL,
    body     bytea  NOT NULL,
    PRIMARY KEY (event_id, seq)
);
ALTER TABLE snapshots ALTER COLUMN body SET STORAGE EXTERNAL;

-- What the chain is keyed with: one row. secret is null where the nodes are configured with it; fingerprint tells
-- whether they have the right one.
CREATE TABLE journal_key (
    one         boolean NOT NULL PRIMARY KEY DEFAULT true CHECK (one),
    secret      bytea,
    fingerprint bytea   NOT NULL
);
