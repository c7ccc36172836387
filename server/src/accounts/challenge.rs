//! Port of what distinguishes people from scripts where a password was guessed at too often: hands out challenges and takes each
//! solution once. The adapter that ships is ALTCHA's proof of work. Must never be asked by who is within the limits.

use crate::http::Problem;
use onsale_engine::ports::Later;
use onsale_engine::time::Timestamp;
use serde_json::Value;

/// How much a challenge asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Effort {
    /// Somebody else guessed at the account.
    Usual,
    /// This address did, or somebody who shares it.
    Harder,
}

/// See the module.
pub trait Challenges: Send + Sync + 'static {
    /// A new challenge, as the member `challenge` of a refusal.
    fn offer(&self, effort: Effort, now: Timestamp) -> Value;
    /// Whether `token` solves a challenge of at least this effort that was handed out here, has not expired, and was not
    /// solved with before. From then on it was.
    ///
    /// # Errors
    /// 503 when that cannot be known.
    fn redeem<'a>(&'a self, token: &'a str, effort: Effort, now: Timestamp) -> Later<'a, Result<bool, Problem>>;
}
