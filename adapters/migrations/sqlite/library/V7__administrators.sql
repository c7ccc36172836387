-- An administrator's account that may not log in any more; the account stays, so that the audit can name who it was.
ALTER TABLE accounts ADD COLUMN disabled_at INTEGER;
CREATE INDEX accounts_administrators ON accounts (created_at) WHERE role = 'ADMIN' AND deleted_at IS NULL;
