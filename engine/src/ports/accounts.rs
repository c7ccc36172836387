//! Port of the accounts: who may log in, their sessions, and revoked access tokens. Never sees a clear password.

use crate::id::BuyerId;
use crate::ports::{Later, StoreError, StoredAnswer};
use crate::time::Timestamp;
use uuid::Uuid;

/// What an account may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Buys.
    User,
    /// Also runs sales.
    Admin,
}

/// Somebody who may log in.
#[derive(Clone, PartialEq, Eq)]
pub struct Account {
    /// The buyer that it is.
    pub id: BuyerId,
    /// As given; compared without case.
    pub email: String,
    /// As given.
    pub name: String,
    /// As given.
    pub phone: Option<String>,
    /// What it may do.
    pub role: Role,
    /// A PHC string.
    pub password_hash: String,
    /// When it was made.
    pub created_at: Timestamp,
}

/// A pair of tokens that was handed out. Tokens themselves are never stored, only their hashes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuedTokens {
    /// The session that they belong to: one log-in and all its refreshes.
    pub family: Uuid,
    /// Whose.
    pub buyer: BuyerId,
    /// Hash of the refresh token.
    pub refresh_hash: [u8; 32],
    /// When the refresh token ends.
    pub refresh_expires_at: Timestamp,
    /// The access token's `jti`.
    pub access_id: Uuid,
    /// When the access token ends.
    pub access_expires_at: Timestamp,
}

/// What became of spending a refresh token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rotation {
    /// The new tokens stand; whose account it is.
    Rotated,
    /// It was spent before: its family has ended.
    Reused,
    /// Unknown, expired, of an ended family, or of a deleted account.
    Unknown,
}

/// Why an account was not made.
#[derive(Debug, thiserror::Error)]
pub enum CreateAccountError {
    /// An account that is not deleted has this address.
    #[error("the e-mail address is taken")]
    EmailTaken,
    /// The storage said no.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A revoked access token, remembered until it would have ended anyway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Revocation {
    /// The token's `jti`.
    pub access_id: Uuid,
    /// When the token ends.
    pub until: Timestamp,
}

/// Accounts, sessions and revocations. Every write is durable when its future is done.
pub trait Accounts: Send + Sync + 'static {
    /// Makes an account, and remembers the answer for its idempotency key in the same transaction.
    fn create<'a>(
        &'a self,
        account: &'a Account,
        answer: Option<&'a StoredAnswer>,
    ) -> Later<'a, Result<(), CreateAccountError>>;
    /// The account of that address, compared without case; none if deleted.
    fn by_email<'a>(&'a self, email: &'a str) -> Later<'a, Result<Option<Account>, StoreError>>;
    /// The account of that id; none if deleted.
    fn by_id(&self, id: BuyerId) -> Later<'_, Result<Option<Account>, StoreError>>;
    /// Changes name and phone; false if there is no such account.
    fn update<'a>(&'a self, id: BuyerId, name: &'a str, phone: Option<&'a str>) -> Later<'a, Result<bool, StoreError>>;
    /// Changes the password and ends every session but `keep`: answers the access tokens that end with them,
    /// which are revoked in the same transaction.
    fn set_password<'a>(
        &'a self,
        id: BuyerId,
        password_hash: &'a str,
        keep: Option<Uuid>,
        now: Timestamp,
    ) -> Later<'a, Result<Vec<Revocation>, StoreError>>;
    /// Deletes softly and ends every session, as `set_password` does; the address becomes free.
    fn delete(&self, id: BuyerId, now: Timestamp) -> Later<'_, Result<Vec<Revocation>, StoreError>>;
    /// Remembers the first tokens of a session.
    fn open_session<'a>(&'a self, tokens: &'a IssuedTokens, now: Timestamp) -> Later<'a, Result<(), StoreError>>;
    /// Whose refresh token this is, if it is known at all (spent or not), and its session.
    fn refresh_owner(&self, refresh_hash: [u8; 32]) -> Later<'_, Result<Option<(BuyerId, Uuid)>, StoreError>>;
    /// Spends a refresh token and remembers the next tokens, in one transaction. `Reused` ends the family.
    fn rotate<'a>(
        &'a self,
        spent: [u8; 32],
        next: &'a IssuedTokens,
        now: Timestamp,
    ) -> Later<'a, Result<Rotation, StoreError>>;
    /// The session that an access token belongs to.
    fn session_of(&self, access_id: Uuid) -> Later<'_, Result<Option<Uuid>, StoreError>>;
    /// Revokes an access token and ends the refresh family that it belongs to, if any.
    fn log_out(&self, revocation: Revocation, now: Timestamp) -> Later<'_, Result<(), StoreError>>;
    /// Every revocation that still matters; read at start.
    fn revocations(&self, now: Timestamp) -> Later<'_, Result<Vec<Revocation>, StoreError>>;
}
