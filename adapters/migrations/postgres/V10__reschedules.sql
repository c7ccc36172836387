-- Postponements and corrected times are actions of administrators, too.
DROP INDEX journal_by_operators;
CREATE INDEX journal_by_operators ON journal (event_id, seq) WHERE kind IN (1, 21, 22, 23, 31, 32, 33);
