//! Wrong passwords: counted for each account from each address, and for each account from anywhere. Right ones never count.
//! Must never decide who may continue beyond a limit: that is for the callers.

use crate::http::Problem;
use crate::limits::{Family, Limits, Who};
use onsale_engine::ports::shared::{Quota, Verdict};
use std::num::NonZeroU32;
use std::time::Duration;

/// As whom a guess counts; keyed hashes, so that neither reveals an address.
#[derive(Clone, Copy, Debug)]
pub struct Guess {
    /// This account from this address.
    pub pair: Who,
    /// This account from anywhere; none for who has a session of it.
    pub account: Option<Who>,
}

/// Which limit is exceeded, with its refusal.
#[derive(Debug)]
pub enum TooMany {
    /// The address' own guesses at the account.
    FromAddress(Problem),
    /// Everybody's guesses at the account.
    AtAccount(Problem),
}

impl Limits {
    /// Whether a password may be compared, by what this node knows: asked before, so that nobody guesses on, and after, so
    /// that nobody guesses many at once. Takes nothing.
    ///
    /// # Errors
    /// Which limit is exceeded; the address' own comes first.
    pub fn may_guess(&self, guess: Guess) -> Result<(), TooMany> {
        if let Some(limit) = self.limit(Family::Password) {
            limit.check(limit.own.look(guess.pair)).map_err(TooMany::FromAddress)?;
        }
        match (self.limit(Family::PasswordAccount), guess.account) {
            (Some(limit), Some(account)) => limit.check(limit.own.look(account)).map_err(TooMany::AtAccount),
            _ => Ok(()),
        }
    }

    /// Counts a wrong password.
    ///
    /// # Errors
    /// Which limit it exceeds; the address' own comes first.
    pub async fn was_wrong(&self, guess: Guess) -> Result<(), TooMany> {
        let pair = self.count_wrong(Family::Password, guess.pair).await;
        let account = match guess.account {
            Some(account) => self.count_wrong(Family::PasswordAccount, account).await,
            None => Ok(()),
        };
        pair.map_err(TooMany::FromAddress)?;
        account.map_err(TooMany::AtAccount)
    }

    /// Where all nodes together have seen enough of them, this one counts its own as used up, too.
    async fn count_wrong(&self, family: Family, who: Who) -> Result<(), Problem> {
        let Some(limit) = self.limit(family) else { return Ok(()) };
        limit.check(limit.own.spend(who))?;
        let verdict = self.spend_shared(&limit, who).await;
        if verdict != Verdict::Allowed {
            limit.own.spend_all(who);
        }
        limit.check(verdict)
    }

    /// Whether nobody on any node has asked for this name within `window`; true where nodes share nothing.
    pub async fn is_first_anywhere(&self, name: Who, window: Duration) -> bool {
        let Some(shared) = &self.shared else { return true };
        let once = Quota { requests: NonZeroU32::MIN, window };
        shared.spend(&format!("once:{name:032x}"), once).await.unwrap_or(Verdict::Allowed) == Verdict::Allowed
    }
}
