-- A seat that is not for sale is BLOCKED, and in nobody's hands.
ALTER TABLE seats RENAME TO old_seats;
CREATE TABLE seats (
    event_id       BLOB NOT NULL,
    seat_id        TEXT NOT NULL,
    status         TEXT NOT NULL CHECK (status = 'AVAILABLE' OR status = 'HELD' OR status = 'SOLD' OR status = 'BLOCKED'),
    reservation_id BLOB,
    PRIMARY KEY (event_id, seat_id)
) STRICT, WITHOUT ROWID;
INSERT INTO seats SELECT * FROM old_seats;
DROP TABLE old_seats;
CREATE INDEX seats_by_status ON seats (event_id, status);
