//! Port for challenges that keep scripts out where a password was guessed too often: issues challenges and accepts each solution
//! once. The adapter that ships is ALTCHA's proof of work. Must never be asked for callers within the limits.

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
