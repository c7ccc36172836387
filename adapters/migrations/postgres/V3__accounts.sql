-- Who may log in, their sessions, and revoked access tokens. Tokens are stored by their hash or jti only. Deleting an
-- account is soft.

-- email_key is the address as it is compared: without case.
CREATE TABLE accounts (
    id            uuid             NOT NULL PRIMARY KEY,
    email         text             NOT NULL,
    email_key     text COLLATE "C" NOT NULL,
    name          text             NOT NULL,
    phone         text,
    role          text             NOT NULL CHECK (role IN ('USER', 'ADMIN')),
    password_hash text             NOT NULL,
    created_at    timestamptz      NOT NULL,
    deleted_at    timestamptz
);
-- One living account to an address; a deleted one gives it free.
CREATE UNIQUE INDEX accounts_by_email ON accounts (email_key) WHERE deleted_at IS NULL;

-- A session: one log-in and all its refreshes. It ends by itself with its last refresh token (expires_at), or at
-- ended_at; its access tokens live on until they expire or are revoked.
CREATE TABLE sessions (
    family     uuid        NOT NULL PRIMARY KEY,
    buyer_id   uuid        NOT NULL,
    expires_at timestamptz NOT NULL,
    ended_at   timestamptz
);
CREATE INDEX sessions_by_buyer ON sessions (buyer_id);
CREATE INDEX sessions_by_expiry ON sessions (expires_at);

-- Spent tokens stay until they expire, so that using one again is noticed.
CREATE TABLE refresh_tokens (
    hash       bytea       NOT NULL PRIMARY KEY,
    family     uuid        NOT NULL,
    expires_at timestamptz NOT NULL,
    spent_at   timestamptz
);
CREATE INDEX refresh_tokens_by_expiry ON refresh_tokens (expires_at);

CREATE TABLE access_tokens (
    id         uuid        NOT NULL PRIMARY KEY,
    family     uuid        NOT NULL,
    expires_at timestamptz NOT NULL
);
CREATE INDEX access_tokens_by_family ON access_tokens (family);
CREATE INDEX access_tokens_by_expiry ON access_tokens (expires_at);

CREATE TABLE revocations (
    access_id  uuid        NOT NULL PRIMARY KEY,
    expires_at timestamptz NOT NULL
);
CREATE INDEX revocations_by_expiry ON revocations (expires_at);
