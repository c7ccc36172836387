//! Port of the accounts: who may log in, their sessions, and revoked access tokens. Never sees a clear password.

use crate::id::BuyerId;
use crate::ports::{Later, StoreError, StoredAnswer};
use crate::time::Timestamp;
use std::sync::Arc;
use uuid::Uuid;

/// Client addresses remembered for each account, the ones that it logged in from last. More would let one who gets hold of
/// the table learn more of where somebody was.
pub const KNOWN_ADDRESSES: u32 = 16;

/// A keyed hash of an address of either kind, e-mail or client. Its key is not in the storage, so a reader of the storage
/// cannot try addresses out.
pub type AddressHash = [u8; 16];

/// The keyed hash of an e-mail address in its normal form.
pub type EmailHash = Arc<dyn Fn(&str) -> AddressHash + Send + Sync>;

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
    /// As given; compared in its normal form ([`crate::email::email_key`]).
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
    /// Since when it may not log in; none for one that may.
    pub disabled_at: Option<Timestamp>,
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

/// What became of disabling an administrator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Disabled {
    /// It is disabled, now or since before; these access tokens were revoked with it.
    Done(Vec<Revocation>),
    /// It is the last one that is enabled.
    Last,
    /// No administrator has that id.
    Unknown,
}

/// Why an account was not made.
#[derive(Debug, thiserror::Error)]
pub enum CreateAccountError {
    /// An account that is not deleted has this address.
    #[error("the e-mail address is taken")]
    EmailTaken,
    /// The storage returned an error.
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
    /// Makes an account, and remembers the answer for its idempotency key in the same transaction. `email_hash` is that of
    /// the address' normal form; answers the deleted accounts that had the same one.
    fn create<'a>(
        &'a self,
        account: &'a Account,
        email_hash: AddressHash,
        answer: Option<&'a StoredAnswer>,
    ) -> Later<'a, Result<Vec<BuyerId>, CreateAccountError>>;
    /// The account of that address, compared in its normal form; none if deleted.
    fn by_email<'a>(&'a self, email: &'a str) -> Later<'a, Result<Option<Account>, StoreError>>;
    /// The account of that id; none if deleted.
    fn by_id(&self, id: BuyerId) -> Later<'_, Result<Option<Account>, StoreError>>;
    /// The accounts of those ids, in no order; the deleted ones are left out.
    fn by_ids(&self, ids: Vec<BuyerId>) -> Later<'_, Result<Vec<Account>, StoreError>>;
    /// Whom an operator may mean by `text`, at most `limit` of them: the account of that address and the deleted ones that
    /// had it (`email_hash` is that of the address' normal form), then accounts whose address or name begins with it. ASCII
    /// letters of names are compared without case.
    fn search<'a>(
        &'a self,
        text: &'a str,
        email_hash: AddressHash,
        limit: u32,
    ) -> Later<'a, Result<Vec<BuyerId>, StoreError>>;
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
    /// Replaces the hash of a password by another hash of the same password; false, and nothing done, if the account has
    /// not that hash any more. No session ends.
    fn rehash_password<'a>(&'a self, id: BuyerId, from: &'a str, to: &'a str) -> Later<'a, Result<bool, StoreError>>;
    /// Deletes softly and ends every session, as `set_password` does; the address becomes free. The row keeps its id and
    /// `email_hash`, and nothing personal.
    fn delete(
        &self,
        id: BuyerId,
        email_hash: AddressHash,
        now: Timestamp,
    ) -> Later<'_, Result<Vec<Revocation>, StoreError>>;
    /// Every administrator's account that is not deleted, the oldest first.
    fn administrators(&self) -> Later<'_, Result<Vec<Account>, StoreError>>;
    /// Disables an administrator's account from `now` on, and ends every session as `set_password` does. With `keep_one` not the
    /// last one that is enabled, also when two are disabled at the same time.
    fn disable(&self, id: BuyerId, keep_one: bool, now: Timestamp) -> Later<'_, Result<Disabled, StoreError>>;
    /// Enables an administrator's account again; false if there is no such administrator.
    fn enable(&self, id: BuyerId) -> Later<'_, Result<bool, StoreError>>;
    /// Every living account whose address a deleted one had before, each with that one; read at start.
    fn predecessors(&self) -> Later<'_, Result<Vec<(BuyerId, BuyerId)>, StoreError>>;
    /// Brings accounts that an older version made to [`crate::email::EMAIL_FORM`]: their keys into the normal form, oldest
    /// first (an account whose form is taken keeps its former key and is found by it), and takes out of deleted ones what is
    /// personal. Called at start; does nothing when it was done before.
    fn bring_up_to_date(&self, hash: EmailHash) -> Later<'_, Result<(), StoreError>>;
    /// Remembers the first tokens of a session, and that the account has logged in from that client address.
    fn open_session<'a>(
        &'a self,
        tokens: &'a IssuedTokens,
        from: AddressHash,
        now: Timestamp,
    ) -> Later<'a, Result<(), StoreError>>;
    /// Whether the account has logged in from that client address; the last [`KNOWN_ADDRESSES`] are known.
    fn knows_address(&self, id: BuyerId, address: AddressHash) -> Later<'_, Result<bool, StoreError>>;
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
