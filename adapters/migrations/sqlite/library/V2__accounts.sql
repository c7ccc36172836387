-- Who may log in, their sessions, and revoked access tokens. Tokens are stored by their hash or jti only.
-- Ids are UUIDs as 16 bytes, times microseconds since 1970. Deleting an account is soft.

-- email_key is the address as it is compared: without case.
CREATE TABLE accounts (
    id            BLOB    NOT NULL PRIMARY KEY,
    email         TEXT    NOT NULL,
    email_key     TEXT    NOT NULL,
    name          TEXT    NOT NULL,
    phone         TEXT,
    role          TEXT    NOT NULL CHECK (role IN ('USER', 'ADMIN')),
    password_hash TEXT    NOT NULL,
    created_at    INTEGER NOT NULL,
    deleted_at    INTEGER
) STRICT, WITHOUT ROWID;
-- One living account to an address; a deleted one gives it free.
CREATE UNIQUE INDEX accounts_by_email ON accounts (email_key) WHERE deleted_at IS NULL;

-- A session: one log-in and all its refreshes. It ends by itself with its last refresh token (expires_at), or at
-- ended_at; its access tokens live on until they expire or are revoked.
CREATE TABLE sessions (
    family     BLOB    NOT NULL PRIMARY KEY,
    buyer_id   BLOB    NOT NULL,
    expires_at INTEGER NOT NULL,
    ended_at   INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX sessions_by_buyer ON sessions (buyer_id);
CREATE INDEX sessions_by_expiry ON sessions (expires_at);

-- Spent tokens stay until they expire, so that using one again is noticed.
CREATE TABLE refresh_tokens (
    hash       BLOB    NOT NULL PRIMARY KEY,
    family     BLOB    NOT NULL,
    expires_at INTEGER NOT NULL,
    spent_at   INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX refresh_tokens_by_expiry ON refresh_tokens (expires_at);

CREATE TABLE access_tokens (
    id         BLOB    NOT NULL PRIMARY KEY,
    family     BLOB    NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX access_tokens_by_family ON access_tokens (family);
CREATE INDEX access_tokens_by_expiry ON access_tokens (expires_at);

CREATE TABLE revocations (
    access_id  BLOB    NOT NULL PRIMARY KEY,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX revocations_by_expiry ON revocations (expires_at);
