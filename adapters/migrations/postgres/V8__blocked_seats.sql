-- A seat that is not for sale is BLOCKED, and in nobody's hands.
ALTER TABLE seats DROP CONSTRAINT seats_status_check;
ALTER TABLE seats ADD CONSTRAINT seats_status_check CHECK (status IN ('AVAILABLE', 'HELD', 'SOLD', 'BLOCKED'));

-- Blocking and freeing seats is what administrators do, too.
DROP INDEX journal_by_operators;
CREATE INDEX journal_by_operators ON journal (event_id, seq) WHERE kind IN (1, 21, 22, 23, 31, 32, 33, 35, 36);
