-- Reservations that administrators have ended are among what they did: kinds 35 and 36.
DROP INDEX journal_by_operators;
CREATE INDEX journal_by_operators ON journal (event_id, seq)
    WHERE kind = 1 OR kind = 21 OR kind = 22 OR kind = 23 OR kind = 31 OR kind = 32 OR kind = 33
        OR kind = 35 OR kind = 36;
