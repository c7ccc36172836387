//! ALTCHA's proof of work (protocol version 1, <https://altcha.org/docs/>): find the number whose SHA-256 behind a salt is
//! the challenge. The challenge is signed (HMAC), so nothing is stored until it is solved. Our own code, since it is a hash, a
//! MAC and a set: the vendor's crate supports version 2 only and brings a second generation of every hash; the community's
//! does not terminate its salts. Must never accept a solution twice.

use crate::accounts::challenge::{Challenges, Effort};
use crate::auth::derived_key;
use crate::http::Problem;
use crate::limits::Limits;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use onsale_engine::ports::Later;
use onsale_engine::time::Timestamp;
use parking_lot::Mutex;
use rand::Rng;
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;
use subtle::ConstantTimeEq;

/// How long a challenge may be solved: a slow telephone, and somebody who is called away.
const LIFETIME: Duration = Duration::from_secs(600);
/// How many times as much a harder challenge asks for.
const HARDER: u64 = 10;
/// Solutions remembered, about 40 bytes each, until they would have expired anyway. Each has cost its sender work; beyond
/// them the answer is 503.
const REMEMBERED: usize = 1 << 16;
/// Bytes of randomness in a salt.
const SALT: usize = 12;

/// See the module.
pub(crate) struct Altcha {
    key: Hmac<Sha256>,
    /// The largest number that may have to be tried.
    max_number: u64,
    /// Challenges that are older were perhaps solved with before this process forgot it.
    since: Timestamp,
    spent: Mutex<HashMap<u128, Timestamp>>,
    limits: Arc<Limits>,
}

/// What a widget sends, base64 over JSON; further members (`took`) are none of our business.
#[derive(Deserialize)]
struct Solution {
    algorithm: String,
    challenge: String,
    number: u64,
    salt: String,
    signature: String,
}

impl Altcha {
    /// Challenges under a key that is derived from `secret`. `limits` knows what was solved with on other nodes.
    pub(crate) fn new(secret: &[u8], max_number: u64, since: Timestamp, limits: Arc<Limits>) -> Self {
        let key = derived_key(secret, "onsale challenge 1");
        Self { key, max_number, since, spent: Mutex::default(), limits }
    }

    const fn max_number(&self, effort: Effort) -> u64 {
        match effort {
            Effort::Usual => self.max_number,
            Effort::Harder => self.max_number.saturating_mul(HARDER),
        }
    }

    fn signature(&self, challenge: &str) -> String {
        hex(&self.key.clone().chain_update(challenge).finalize().into_bytes())
    }

    /// The challenge that a token solves and when that expires; none when it solves none.
    fn solved(&self, token: &str, effort: Effort, now: Timestamp) -> Option<(u128, Timestamp)> {
        let solution: Solution = serde_json::from_slice(&STANDARD.decode(token.trim()).ok()?).ok()?;
        let Solution { algorithm, challenge, number, salt, signature } = solution;
        let is_ours: bool = self.signature(&challenge).as_bytes().ct_eq(signature.as_bytes()).into();
        if !is_ours || algorithm != "SHA-256" || challenge != challenge_of(&salt, number) {
            return None;
        }
        // The salt's end is a delimiter: otherwise digits could move from the number into `expires`, and one solution be
        // sent as many.
        let (_, params) = salt.strip_suffix('&')?.split_once('?')?;
        let param = |name: &str| params.split('&').find_map(|param| param.strip_prefix(name)?.strip_prefix('='));
        let expires = Timestamp::from_secs(param("expires")?.parse().ok()?);
        let max_number: u64 = param("max")?.parse().ok()?;
        let in_time = now < expires && self.since + LIFETIME <= expires;
        let name = u128::from_str_radix(challenge.get(..32)?, 16).ok()?;
        (in_time && max_number >= self.max_number(effort)).then_some((name, expires))
    }

    /// Whether a solution is seen for the first time here.
    fn spend(&self, name: u128, expires: Timestamp, now: Timestamp) -> Result<bool, Problem> {
        let mut spent = self.spent.lock();
        if spent.len() >= REMEMBERED {
            spent.retain(|_, expires| *expires > now);
        }
        if spent.len() >= REMEMBERED {
            return Err(Problem::overloaded());
        }
        Ok(spent.insert(name, expires).is_none())
    }
}

impl Challenges for Altcha {
    fn offer(&self, effort: Effort, now: Timestamp) -> Value {
        let max_number = self.max_number(effort);
        // Counted in whole seconds, rounded up: what is handed out after the start expires a lifetime after it at least.
        let expires = (now + LIFETIME).0.div_euclid(1_000_000) + 1;
        let salt = format!("{}?expires={expires}&max={max_number}&", hex(&rand::random::<[u8; SALT]>()));
        let challenge = challenge_of(&salt, rand::rng().random_range(0..=max_number));
        let signature = self.signature(&challenge);
        json!({
            "algorithm": "SHA-256", "challenge": challenge, "salt": salt, "signature": signature,
            "maxnumber": max_number,
        })
    }

    fn redeem<'a>(&'a self, token: &'a str, effort: Effort, now: Timestamp) -> Later<'a, Result<bool, Problem>> {
        Box::pin(async move {
            let Some((name, expires)) = self.solved(token, effort, now) else { return Ok(false) };
            Ok(self.spend(name, expires, now)? && self.limits.is_first_anywhere(name, LIFETIME).await)
        })
    }
}

fn challenge_of(salt: &str, number: u64) -> String {
    hex(&Sha256::digest(format!("{salt}{number}").as_bytes()))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may end on its first surprise")]
    use super::*;
    use crate::config::RateLimitConfig;
    use crate::limits::Family;

    const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

    fn altcha(since: Timestamp) -> Altcha {
        let quotas = Family::ALL.map(Family::default_quota);
        let limits = Limits::new(&RateLimitConfig { enabled: true, forwarded_hops: 0, quotas }, None);
        Altcha::new(b"an example secret of 32 bytes or more", 300, since, Arc::new(limits))
    }

    /// As a widget solves it.
    fn solve(challenge: &Value) -> Value {
        let (salt, wanted) = (challenge["salt"].as_str().unwrap(), challenge["challenge"].as_str().unwrap());
        let most = challenge["maxnumber"].as_u64().unwrap();
        let number = (0..=most).find(|number| challenge_of(salt, *number) == wanted).unwrap();
        json!({
            "algorithm": "SHA-256", "challenge": wanted, "number": number, "salt": salt,
            "signature": challenge["signature"], "took": 7,
        })
    }

    fn token(solution: &Value) -> String {
        STANDARD.encode(solution.to_string())
    }

    #[tokio::test]
    async fn a_solution_counts_once_and_for_its_effort_at_the_most() {
        let altcha = altcha(NOW);
        let usual = token(&solve(&altcha.offer(Effort::Usual, NOW)));
        assert!(!altcha.redeem(&usual, Effort::Harder, NOW).await.unwrap(), "too easy");
        assert!(altcha.redeem(&usual, Effort::Usual, NOW).await.unwrap());
        assert!(!altcha.redeem(&usual, Effort::Usual, NOW).await.unwrap(), "it was used");
        let harder = altcha.offer(Effort::Harder, NOW);
        assert_eq!(harder["maxnumber"], 3000);
        assert!(altcha.redeem(&token(&solve(&harder)), Effort::Usual, NOW).await.unwrap());
    }

    #[tokio::test]
    async fn a_solution_expires_and_does_not_outlive_the_process_that_would_remember_it() {
        let challenge = altcha(NOW).offer(Effort::Usual, NOW);
        let solved = token(&solve(&challenge));
        let late = NOW + LIFETIME + Duration::from_secs(1);
        assert!(!altcha(NOW).redeem(&solved, Effort::Usual, late).await.unwrap());
        let later = NOW + Duration::from_secs(2);
        assert!(altcha(NOW).redeem(&solved, Effort::Usual, later).await.unwrap());
        assert!(!altcha(later).redeem(&solved, Effort::Usual, later).await.unwrap(), "handed out before the start");
    }

    #[tokio::test]
    async fn nothing_of_a_solution_can_be_changed() {
        let altcha = altcha(NOW);
        let good = solve(&altcha.offer(Effort::Usual, NOW));
        let salt = good["salt"].as_str().unwrap();
        let number = good["number"].as_u64().unwrap();
        // Digits that move from the number into the salt give the same hash.
        let spliced = json!({ "salt": format!("{salt}{}", number / 10), "number": number % 10 });
        let changes = [
            json!({ "salt": salt.replace("?expires=18", "?expires=28") }),
            json!({ "number": number + 1 }),
            json!({ "algorithm": "SHA-1" }),
            json!({ "signature": "00" }),
            json!({ "challenge": "00" }),
            spliced,
        ];
        for change in changes {
            let mut forged = good.clone();
            forged.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
            assert!(!altcha.redeem(&token(&forged), Effort::Usual, NOW).await.unwrap(), "{change}");
        }
        for junk in ["", "x", "{}", &STANDARD.encode("{}"), &STANDARD.encode([0xff])] {
            assert!(!altcha.redeem(junk, Effort::Usual, NOW).await.unwrap(), "{junk}");
        }
        assert!(altcha.redeem(&token(&good), Effort::Usual, NOW).await.unwrap());
    }
}
