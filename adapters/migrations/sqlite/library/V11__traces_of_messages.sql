-- The W3C traceparent of the request that a message follows from; none where time has passed, and in messages that are older.
ALTER TABLE outbox_events ADD COLUMN traceparent TEXT;
