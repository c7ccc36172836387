-- Written behind the journal by the projector alone; rows and checkpoint move in one transaction.
-- Ids are UUIDs as 16 bytes, times microseconds since 1970, amounts minor units of currency.

-- The seats that were ever held; a seat without a row is AVAILABLE.
CREATE TABLE seats (
    event_id       BLOB NOT NULL,
    seat_id        TEXT NOT NULL,
    status         TEXT NOT NULL CHECK (status IN ('AVAILABLE', 'HELD', 'SOLD')),
    reservation_id BLOB,
    PRIMARY KEY (event_id, seat_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX seats_by_status ON seats (event_id, status);

CREATE TABLE reservations (
    id              BLOB    NOT NULL PRIMARY KEY,
    event_id        BLOB    NOT NULL,
    user_id         BLOB    NOT NULL,
    status          TEXT    NOT NULL CHECK (status IN ('PENDING', 'CONFIRMED', 'CANCELLED', 'EXPIRED')),
    amount          INTEGER NOT NULL,
    currency        TEXT    NOT NULL,
    hold_expires_at INTEGER NOT NULL,
    created_at      INTEGER NOT NULL,
    confirmed_at    INTEGER,
    ticket_number   INTEGER,
    refund_amount   INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX reservations_by_user ON reservations (user_id, status);
CREATE INDEX reservations_by_user_created ON reservations (user_id, created_at, id);

-- The seats of a reservation in the order in which they were asked for; they stay when it is over.
-- seat_index is the seat's place in the event's plan.
CREATE TABLE reservation_seats (
    reservation_id BLOB    NOT NULL,
    position       INTEGER NOT NULL,
    seat_id        TEXT    NOT NULL,
    seat_index     INTEGER NOT NULL,
    PRIMARY KEY (reservation_id, position)
) STRICT, WITHOUT ROWID;

-- stage says how far a payment is within its status; failure and refund_reason hold stable codes, failure_detail the
-- provider's own reason for declining.
CREATE TABLE payments (
    id             BLOB    NOT NULL PRIMARY KEY,
    event_id       BLOB    NOT NULL,
    reservation_id BLOB    NOT NULL,
    user_id        BLOB    NOT NULL,
    status         TEXT    NOT NULL CHECK (status IN ('PENDING', 'SUCCESS', 'FAILED', 'REFUNDED')),
    stage          TEXT    NOT NULL CHECK (stage IN ('OPENED', 'CHARGING', 'UNKNOWN', 'CAPTURED', 'FAILED', 'REFUND_ORDERED', 'REFUND_SETTLED')),
    amount         INTEGER NOT NULL,
    captured       INTEGER NOT NULL DEFAULT 0,
    currency       TEXT    NOT NULL,
    transaction_id TEXT,
    created_at     INTEGER NOT NULL,
    paid_at        INTEGER,
    failure        TEXT,
    failure_detail TEXT,
    refund_reason  TEXT
) STRICT, WITHOUT ROWID;
CREATE INDEX payments_by_user ON payments (user_id, created_at, id);

-- Messages on their way to other systems; ordered by (event_id, seq), never by id. published is 0 or 1,
-- parked messages stay unpublished and are passed over.
CREATE TABLE outbox_events (
    id           INTEGER PRIMARY KEY,
    event_id     BLOB    NOT NULL,
    seq          INTEGER NOT NULL,
    topic        TEXT    NOT NULL,
    key          TEXT    NOT NULL,
    payload      TEXT    NOT NULL,
    created_at   INTEGER NOT NULL,
    published    INTEGER NOT NULL DEFAULT 0,
    published_at INTEGER,
    attempts     INTEGER NOT NULL DEFAULT 0,
    parked       INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX outbox_events_by_published ON outbox_events (published, created_at);
CREATE INDEX outbox_events_waiting ON outbox_events (event_id, seq) WHERE published = 0;

-- How far each event's journal is in the tables above; plan (its hash) and currency are the sale's.
CREATE TABLE projection_checkpoints (
    event_id BLOB    NOT NULL PRIMARY KEY,
    seq      INTEGER NOT NULL,
    plan     BLOB,
    currency TEXT
) STRICT, WITHOUT ROWID;
