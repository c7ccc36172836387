-- Venues, halls, plans, events, and the answers to requests with an idempotency key.
-- Ids are UUIDs as 16 bytes, times microseconds since 1970, amounts minor units. Deletions are soft.

CREATE TABLE venues (
    id         BLOB    NOT NULL PRIMARY KEY,
    name       TEXT    NOT NULL,
    address    TEXT    NOT NULL,
    city       TEXT    NOT NULL,
    time_zone  TEXT    NOT NULL,
    created_at INTEGER NOT NULL,
    deleted_at INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX venues_by_created ON venues (created_at, id) WHERE deleted_at IS NULL;

-- Seating plans, each stored once under the hash of its content; body is the canonical form, compressed (zlib).
CREATE TABLE plans (
    hash  BLOB    NOT NULL PRIMARY KEY,
    seats INTEGER NOT NULL,
    body  BLOB    NOT NULL
) STRICT;

-- categories is a JSON array of names, in the plan's order.
CREATE TABLE halls (
    id         BLOB    NOT NULL PRIMARY KEY,
    venue_id   BLOB    NOT NULL REFERENCES venues (id),
    name       TEXT    NOT NULL,
    plan       BLOB    NOT NULL REFERENCES plans (hash),
    capacity   INTEGER NOT NULL,
    categories TEXT    NOT NULL,
    created_at INTEGER NOT NULL,
    deleted_at INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX halls_by_venue ON halls (venue_id, created_at, id) WHERE deleted_at IS NULL;

-- tag is the low 40 bits of the id, which reservations carry: unique also among deleted events, because their
-- reservations stay. sale is a versioned JSON document; what lists filter by lies beside it. capacity is the
-- hall's. title_key and search are folded to lower case.
CREATE TABLE events (
    id             BLOB    NOT NULL PRIMARY KEY,
    tag            INTEGER NOT NULL UNIQUE,
    title          TEXT    NOT NULL,
    title_key      TEXT    NOT NULL,
    artist         TEXT    NOT NULL,
    search         TEXT    NOT NULL,
    description    TEXT,
    hall_id        BLOB    NOT NULL REFERENCES halls (id),
    venue_id       BLOB    NOT NULL REFERENCES venues (id),
    plan           BLOB    NOT NULL REFERENCES plans (hash),
    capacity       INTEGER NOT NULL,
    starts_at      INTEGER NOT NULL,
    ends_at        INTEGER NOT NULL,
    sale_starts_at INTEGER NOT NULL,
    sale_ends_at   INTEGER NOT NULL,
    sale           TEXT    NOT NULL,
    min_price      INTEGER NOT NULL,
    max_price      INTEGER NOT NULL,
    cancelled      INTEGER NOT NULL CHECK (cancelled IN (0, 1)),
    created_by     BLOB    NOT NULL,
    created_at     INTEGER NOT NULL,
    deleted_at     INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX events_by_created ON events (created_at, id) WHERE deleted_at IS NULL;
CREATE INDEX events_by_start ON events (starts_at, id) WHERE deleted_at IS NULL;
CREATE INDEX events_by_title ON events (title_key, id) WHERE deleted_at IS NULL;
CREATE INDEX events_by_venue ON events (venue_id, starts_at, id) WHERE deleted_at IS NULL;
CREATE INDEX events_by_hall ON events (hall_id) WHERE deleted_at IS NULL;

-- Answers of routes that no sale owns, kept for a day. scope hashes buyer, route and key; body the request's body.
CREATE TABLE idempotency_keys (
    scope    BLOB    NOT NULL PRIMARY KEY,
    body     BLOB    NOT NULL,
    status   INTEGER NOT NULL,
    location TEXT,
    json     TEXT    NOT NULL,
    at       INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX idempotency_keys_by_age ON idempotency_keys (at);
