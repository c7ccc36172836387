-- Written behind the journal by the projector alone; rows and checkpoint move in one transaction.
-- Amounts are minor units of currency. Texts are compared byte by byte (COLLATE "C"), on every server alike.

-- The seats that were ever held; a seat without a row is AVAILABLE.
CREATE TABLE seats (
    event_id       uuid             NOT NULL,
    seat_id        text COLLATE "C" NOT NULL,
    status         text             NOT NULL CHECK (status IN ('AVAILABLE', 'HELD', 'SOLD')),
    reservation_id uuid,
    PRIMARY KEY (event_id, seat_id)
);
CREATE INDEX seats_by_status ON seats (event_id, status);

CREATE TABLE reservations (
    id              uuid        NOT NULL PRIMARY KEY,
    event_id        uuid        NOT NULL,
    user_id         uuid        NOT NULL,
    status          text        NOT NULL CHECK (status IN ('PENDING', 'CONFIRMED', 'CANCELLED', 'EXPIRED')),
    amount          bigint      NOT NULL,
    currency        text        NOT NULL,
    hold_expires_at timestamptz NOT NULL,
    created_at      timestamptz NOT NULL,
    confirmed_at    timestamptz,
    ticket_number   bigint,
    refund_amount   bigint
);
CREATE INDEX reservations_by_user ON reservations (user_id, status);
CREATE INDEX reservations_by_user_created ON reservations (user_id, created_at, id);

-- The seats of a reservation in the order in which they were asked for; they stay when it is over.
-- seat_index is the seat's place in the event's plan.
CREATE TABLE reservation_seats (
    reservation_id uuid             NOT NULL,
    position       integer          NOT NULL,
    seat_id        text COLLATE "C" NOT NULL,
    seat_index     bigint           NOT NULL,
    PRIMARY KEY (reservation_id, position)
);

-- stage says how far a payment is within its status; failure and refund_reason hold stable codes, failure_detail the
-- provider's own reason for declining.
CREATE TABLE payments (
    id             uuid        NOT NULL PRIMARY KEY,
    event_id       uuid        NOT NULL,
    reservation_id uuid        NOT NULL,
    user_id        uuid        NOT NULL,
    status         text        NOT NULL CHECK (status IN ('PENDING', 'SUCCESS', 'FAILED', 'REFUNDED')),
    stage          text        NOT NULL CHECK (stage IN ('OPENED', 'CHARGING', 'UNKNOWN', 'CAPTURED', 'FAILED', 'REFUND_ORDERED', 'REFUND_SETTLED')),
    amount         bigint      NOT NULL,
    captured       bigint      NOT NULL DEFAULT 0,
    currency       text        NOT NULL,
    transaction_id text,
    created_at     timestamptz NOT NULL,
    paid_at        timestamptz,
    failure        text,
    failure_detail text,
    refund_reason  text
);
CREATE INDEX payments_by_user ON payments (user_id, created_at, id);

-- Messages on their way to other systems; ordered by (event_id, seq), never by id. Parked messages stay unpublished
-- and are passed over.
CREATE TABLE outbox_events (
    id           bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    event_id     uuid        NOT NULL,
    seq          bigint      NOT NULL,
    topic        text        NOT NULL,
    key          text        NOT NULL,
    payload      text        NOT NULL,
    created_at   timestamptz NOT NULL,
    published    boolean     NOT NULL DEFAULT false,
    published_at timestamptz,
    attempts     integer     NOT NULL DEFAULT 0,
    parked       boolean     NOT NULL DEFAULT false
);
CREATE INDEX outbox_events_by_published ON outbox_events (published, created_at);
CREATE INDEX outbox_events_waiting ON outbox_events (event_id, seq) WHERE NOT published;

-- How far each event's journal is in the tables above; plan (its hash) and currency are the sale's.
CREATE TABLE projection_checkpoints (
    event_id uuid   NOT NULL PRIMARY KEY,
    seq      bigint NOT NULL,
    plan     bytea  NOT NULL,
    currency text   NOT NULL
) WITH (fillfactor = 50);
