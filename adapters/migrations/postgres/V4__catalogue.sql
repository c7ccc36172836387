-- Venues, halls, plans, events, and the answers to requests with an idempotency key. Amounts are minor units.
-- Deletions are soft.

CREATE TABLE venues (
    id         uuid        NOT NULL PRIMARY KEY,
    name       text        NOT NULL,
    address    text        NOT NULL,
    city       text        NOT NULL,
    time_zone  text        NOT NULL,
    created_at timestamptz NOT NULL,
    deleted_at timestamptz
);
CREATE INDEX venues_by_created ON venues (created_at, id) WHERE deleted_at IS NULL;

-- Seating plans, each stored once under the hash of its content; body is the canonical form, compressed (zlib).
CREATE TABLE plans (
    hash  bytea  NOT NULL PRIMARY KEY,
    seats bigint NOT NULL,
    body  bytea  NOT NULL
);
ALTER TABLE plans ALTER COLUMN body SET STORAGE EXTERNAL;

-- categories is in the plan's order.
CREATE TABLE halls (
    id         uuid        NOT NULL PRIMARY KEY,
    venue_id   uuid        NOT NULL REFERENCES venues (id),
    name       text        NOT NULL,
    plan       bytea       NOT NULL REFERENCES plans (hash),
    capacity   bigint      NOT NULL,
    categories text[]      NOT NULL,
    created_at timestamptz NOT NULL,
    deleted_at timestamptz
);
CREATE INDEX halls_by_venue ON halls (venue_id, created_at, id) WHERE deleted_at IS NULL;

-- tag is the low 40 bits of the id, which reservations carry: unique also among deleted events, because their
-- reservations stay. sale is a versioned JSON document; what lists filter by lies beside it. capacity is the
-- hall's. title_key and search are folded to lower case.
CREATE TABLE events (
    id             uuid             NOT NULL PRIMARY KEY,
    tag            bigint           NOT NULL UNIQUE,
    title          text             NOT NULL,
    title_key      text COLLATE "C" NOT NULL,
    artist         text             NOT NULL,
    search         text COLLATE "C" NOT NULL,
    description    text,
    hall_id        uuid             NOT NULL REFERENCES halls (id),
    venue_id       uuid             NOT NULL REFERENCES venues (id),
    plan           bytea            NOT NULL REFERENCES plans (hash),
    capacity       bigint           NOT NULL,
    starts_at      timestamptz      NOT NULL,
    ends_at        timestamptz      NOT NULL,
    sale_starts_at timestamptz      NOT NULL,
    sale_ends_at   timestamptz      NOT NULL,
    sale           text             NOT NULL,
    min_price      bigint           NOT NULL,
    max_price      bigint           NOT NULL,
    cancelled      boolean          NOT NULL,
    created_by     uuid             NOT NULL,
    created_at     timestamptz      NOT NULL,
    deleted_at     timestamptz
);
CREATE INDEX events_by_created ON events (created_at, id) WHERE deleted_at IS NULL;
CREATE INDEX events_by_start ON events (starts_at, id) WHERE deleted_at IS NULL;
CREATE INDEX events_by_title ON events (title_key, id) WHERE deleted_at IS NULL;
CREATE INDEX events_by_venue ON events (venue_id, starts_at, id) WHERE deleted_at IS NULL;
CREATE INDEX events_by_hall ON events (hall_id) WHERE deleted_at IS NULL;

-- Answers of routes that no sale owns, kept for a day. scope hashes buyer, route and key; body the request's body;
-- both are 128 bits, written as uuid.
CREATE TABLE idempotency_keys (
    scope    uuid        NOT NULL PRIMARY KEY,
    body     uuid        NOT NULL,
    status   integer     NOT NULL,
    location text,
    json     text        NOT NULL,
    at       timestamptz NOT NULL
);
CREATE INDEX idempotency_keys_by_age ON idempotency_keys (at);
