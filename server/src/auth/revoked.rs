//! Revoked access tokens, in memory: loaded from the accounts' storage at start, forgotten when they would have ended
//! anyway. The storage holds the truth; this answers every request without asking it.

use onsale_engine::ports::accounts::Revocation;
use onsale_engine::shared_map::SharedMap;
use onsale_engine::time::Timestamp;
use uuid::Uuid;

/// The revocations that still matter. Bounded by the tokens handed out in an hour.
#[derive(Default)]
pub struct Revoked(SharedMap<Uuid, Timestamp>);

impl Revoked {
    /// The revocations that the storage remembers.
    #[must_use]
    pub fn of(revocations: &[Revocation]) -> Self {
        let revoked = Self::default();
        revoked.add_all(revocations);
        revoked
    }

    /// Adds one; in force at once.
    pub fn add(&self, access_id: Uuid, until: Timestamp) {
        self.0.insert(access_id, until);
    }

    /// Adds all of them.
    pub fn add_all(&self, revocations: &[Revocation]) {
        for revocation in revocations {
            self.add(revocation.access_id, revocation.until);
        }
    }

    /// Whether a token was revoked.
    #[must_use]
    pub fn contains(&self, access_id: Uuid) -> bool {
        self.0.contains_key(&access_id)
    }

    /// How many are remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether none is remembered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Forgets those whose tokens have ended; answers how many are left.
    pub fn prune(&self, now: Timestamp) -> usize {
        self.0.retain(|_, until| *until > now);
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn revocations_are_forgotten_when_their_tokens_have_ended() {
        let (early, late) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let revoked = Revoked::of(&[
            Revocation { access_id: early, until: Timestamp(10) },
            Revocation { access_id: late, until: Timestamp(20) },
        ]);
        assert_eq!(revoked.prune(Timestamp(10)), 1);
        assert!(!revoked.contains(early) && revoked.contains(late));
    }
}
