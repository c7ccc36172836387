-- What operators look up: reservations and payments of an event or of a status, newest first; by ticket; payments of a
-- reservation; accounts by the beginning of a name. Lists' totals are counted by the projector.

-- story: positions of the row's facts in its event's journal, as variable-length numbers one after the other; empty for
-- facts from before this column.
ALTER TABLE reservations ADD COLUMN story bytea NOT NULL DEFAULT '';
CREATE INDEX reservations_by_event ON reservations (event_id, status, created_at, id);
CREATE INDEX reservations_by_status ON reservations (status, created_at, id);
CREATE INDEX reservations_by_ticket ON reservations (event_id, ticket_number) WHERE ticket_number IS NOT NULL;

ALTER TABLE payments ADD COLUMN story bytea NOT NULL DEFAULT '';
CREATE INDEX payments_by_event ON payments (event_id, status, created_at, id);
CREATE INDEX payments_by_status ON payments (status, created_at, id);
CREATE INDEX payments_by_reservation ON payments (reservation_id, created_at, id);

-- How many rows of each status an event has.
CREATE TABLE record_counts (
    event_id uuid   NOT NULL,
    what     text   NOT NULL CHECK (what IN ('RESERVATION', 'PAYMENT')),
    status   text   NOT NULL,
    count    bigint NOT NULL,
    PRIMARY KEY (event_id, what, status)
) WITH (fillfactor = 50);
INSERT INTO record_counts SELECT event_id, 'RESERVATION', status, count(*) FROM reservations GROUP BY event_id, status;
INSERT INTO record_counts SELECT event_id, 'PAYMENT', status, count(*) FROM payments GROUP BY event_id, status;

-- In the collation "C" lower() changes ASCII letters alone, on every server alike.
CREATE INDEX accounts_by_name ON accounts (lower(name COLLATE "C")) WHERE deleted_at IS NULL;

-- Reservations that administrators have ended are among what they did: kinds 35 and 36.
DROP INDEX journal_by_operators;
CREATE INDEX journal_by_operators ON journal (event_id, seq) WHERE kind IN (1, 21, 22, 23, 31, 32, 33, 35, 36);
