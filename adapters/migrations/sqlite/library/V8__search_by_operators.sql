-- What operators look up: reservations and payments of an event or of a status, newest first; by ticket; payments of a
-- reservation; accounts by the beginning of a name. Lists' totals are counted by the projector.

-- story: positions of the row's facts in its event's journal, as variable-length numbers one after the other; empty for
-- facts from before this column.
ALTER TABLE reservations ADD COLUMN story BLOB NOT NULL DEFAULT x'';
CREATE INDEX reservations_by_event ON reservations (event_id, status, created_at, id);
CREATE INDEX reservations_by_status ON reservations (status, created_at, id);
CREATE INDEX reservations_by_ticket ON reservations (event_id, ticket_number) WHERE ticket_number IS NOT NULL;

ALTER TABLE payments ADD COLUMN story BLOB NOT NULL DEFAULT x'';
CREATE INDEX payments_by_event ON payments (event_id, status, created_at, id);
CREATE INDEX payments_by_status ON payments (status, created_at, id);
CREATE INDEX payments_by_reservation ON payments (reservation_id, created_at, id);

-- How many rows of each status an event has. what is RESERVATION or PAYMENT.
CREATE TABLE record_counts (
    event_id BLOB    NOT NULL,
    what     TEXT    NOT NULL CHECK (what = 'RESERVATION' OR what = 'PAYMENT'),
    status   TEXT    NOT NULL,
    count    INTEGER NOT NULL,
    PRIMARY KEY (event_id, what, status)
) STRICT, WITHOUT ROWID;
INSERT INTO record_counts SELECT event_id, 'RESERVATION', status, count(*) FROM reservations GROUP BY event_id, status;
INSERT INTO record_counts SELECT event_id, 'PAYMENT', status, count(*) FROM payments GROUP BY event_id, status;

-- SQLite's lower() changes ASCII letters alone.
CREATE INDEX accounts_by_name ON accounts (lower(name)) WHERE deleted_at IS NULL;
