//! Access tokens: JWTs signed HS256 with the configured secret. The only reasons to refuse one are signature, `alg`,
//! `exp` and revocation, so that a holder of the secret may mint tokens for buyers of their own.

use crate::auth::Revoked;
use crate::http::Problem;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use http::{HeaderMap, header};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use onsale_engine::id::BuyerId;
use onsale_engine::ports::accounts::Role;
use onsale_engine::time::Timestamp;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::time::Duration;
use uuid::Uuid;

/// How long an access token lives, as `expiresIn` says.
pub const ACCESS_LIFETIME: Duration = Duration::from_secs(3600);
/// Verified tokens are remembered in so many groups, a power of two, of [`GROUP`] each: some more than the crowd that
/// polls a waiting room. A token costs 64 bytes.
const GROUPS: usize = 1 << 15;
/// Tokens of one group, the latest used first; the last one is forgotten for a new one.
const GROUP: usize = 4;

/// How the headers of nearly all tokens are written: `{"typ":"JWT","alg":"HS256"}` and the other way round.
const PLAIN_HEADERS: [&str; 2] = ["eyJ0eXAiOiJKV1QiLCJhbGciOiJIUzI1NiJ9", "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9"];
/// Bytes of claims that are taken for plain.
const PLAIN_CLAIMS: usize = 512;

const _: () = assert!(GROUPS.is_power_of_two() && GROUPS <= 1 << 16);

/// The account that a valid access token names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The buyer or administrator; no account need exist for it.
    pub buyer: BuyerId,
    /// The role that the token gives.
    pub role: Role,
    /// Under which name the token is revoked: its `jti`, or a hash where it has none that is a UUID.
    pub access_id: Uuid,
    /// When the token ends.
    pub expires_at: Timestamp,
}

/// A token that was made.
pub struct Minted {
    /// The token.
    pub token: String,
    /// Its `jti`.
    pub access_id: Uuid,
    /// When it ends.
    pub expires_at: Timestamp,
}

/// Why a token is refused; the caller receives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenFault {
    /// There is none, or not of the form `Bearer …`.
    Missing,
    /// Signature, algorithm or claims are not ours.
    Bad,
    /// Its time is over.
    Expired,
    /// Its session was ended.
    Revoked,
}

impl From<TokenFault> for Problem {
    fn from(fault: TokenFault) -> Self {
        Self::unauthenticated(match fault {
            TokenFault::Missing => "this call needs Authorization: Bearer <accessToken>",
            TokenFault::Bad => "the access token is not valid",
            TokenFault::Expired => "the access token has expired",
            TokenFault::Revoked => "the access token was revoked",
        })
    }
}

#[derive(Serialize)]
struct ClaimsOut<'a> {
    sub: &'a str,
    role: &'static str,
    iat: i64,
    exp: i64,
    jti: &'a str,
}

#[derive(Deserialize)]
struct ClaimsIn {
    sub: String,
    role: String,
    exp: f64,
    jti: Option<serde_json::Value>,
}

/// Claims without anything that would have to be copied.
#[derive(Deserialize)]
struct PlainClaims<'a> {
    sub: &'a str,
    role: &'a str,
    exp: f64,
    jti: Option<&'a str>,
}

/// Makes and verifies access tokens.
pub struct AccessTokens {
    signing: EncodingKey,
    /// The secret, worked in once for all tokens; none for one that HMAC does not take.
    hmac_key: Option<Hmac<Sha256>>,
    verifying: DecodingKey,
    validation: Validation,
    header: Header,
    remembered: Box<[Mutex<[Option<Remembered>; GROUP]>]>,
    revoked: Revoked,
}

#[derive(Clone, Copy)]
struct Remembered {
    /// Half of the token's SHA-256: to find another token with the same half takes 2^128 tries.
    digest: u128,
    caller: Caller,
}

impl AccessTokens {
    /// Tokens under `secret` (the bytes of the configured string), with the revocations known so far.
    #[must_use]
    pub fn new(secret: &[u8], revoked: Revoked) -> Self {
        let mut validation = Validation::new(Algorithm::HS256);
        validation.leeway = 0;
        validation.validate_aud = false;
        // Compared below with the process' own clock, so that there is one time everywhere.
        validation.validate_exp = false;
        validation.set_required_spec_claims(&["exp"]);
        Self {
            signing: EncodingKey::from_secret(secret),
            hmac_key: Hmac::new_from_slice(secret).ok(),
            verifying: DecodingKey::from_secret(secret),
            validation,
            header: Header::new(Algorithm::HS256),
            remembered: (0..GROUPS).map(|_| Mutex::new([None; GROUP])).collect(),
            revoked,
        }
    }

    /// The revocations.
    #[must_use]
    pub fn revoked(&self) -> &Revoked {
        &self.revoked
    }

    /// Makes a token for an hour.
    ///
    /// # Errors
    /// 500, should signing fail.
    pub fn mint(&self, buyer: BuyerId, role: Role, now: Timestamp) -> Result<Minted, Problem> {
        let access_id = Uuid::new_v4();
        let issued = now.0.div_euclid(1_000_000);
        let expires_at = Timestamp::from_secs(issued) + ACCESS_LIFETIME;
        let role = match role {
            Role::User => "USER",
            Role::Admin => "ADMIN",
        };
        let (mut sub, mut jti) = (Uuid::encode_buffer(), Uuid::encode_buffer());
        let claims = ClaimsOut {
            sub: buyer.0.hyphenated().encode_lower(&mut sub),
            role,
            iat: issued,
            exp: expires_at.0 / 1_000_000,
            jti: access_id.hyphenated().encode_lower(&mut jti),
        };
        let token = jsonwebtoken::encode(&self.header, &claims, &self.signing);
        let token = token.map_err(|error| Problem::internal().because(error))?;
        Ok(Minted { token, access_id, expires_at })
    }

    /// Whom the bearer token of these headers names.
    ///
    /// # Errors
    /// See [`TokenFault`].
    pub fn caller(&self, headers: &HeaderMap, now: Timestamp) -> Result<Caller, TokenFault> {
        self.verify(bearer(headers).ok_or(TokenFault::Missing)?, now)
    }

    /// Whom a token names.
    ///
    /// # Errors
    /// See [`TokenFault`].
    pub fn verify(&self, token: &str, now: Timestamp) -> Result<Caller, TokenFault> {
        let digest = half_digest(token);
        let group = &self.remembered[digest as usize & (GROUPS - 1)];
        let known = recall(&mut group.lock(), digest);
        let caller = match known {
            Some(caller) => caller,
            None => {
                let caller = self.decode(token)?;
                let mut group = group.lock();
                group.rotate_right(1);
                group[0] = Some(Remembered { digest, caller });
                caller
            }
        };
        self.check(&caller, now).map(|()| caller)
    }

    /// Whether the token that named a caller before still works.
    ///
    /// # Errors
    /// That it has expired, or was revoked.
    pub fn check(&self, caller: &Caller, now: Timestamp) -> Result<(), TokenFault> {
        if caller.expires_at <= now {
            return Err(TokenFault::Expired);
        }
        if self.revoked.contains(caller.access_id) {
            return Err(TokenFault::Revoked);
        }
        Ok(())
    }

    fn decode(&self, token: &str) -> Result<Caller, TokenFault> {
        if let Some(caller) = self.decode_plain(token) {
            return Ok(caller);
        }
        let read = jsonwebtoken::decode::<ClaimsIn>(token, &self.verifying, &self.validation);
        let claims = read.map_err(|_| TokenFault::Bad)?.claims;
        let jti = claims.jti.as_ref().and_then(serde_json::Value::as_str);
        caller_of(token, &claims.sub, &claims.role, claims.exp, jti).ok_or(TokenFault::Bad)
    }

    /// A good token as nearly all are, at a quarter of the cost: a crowd that arrives has tokens that nobody has seen. Whatever
    /// is unusual or wrong is `None`, and for the library to judge.
    fn decode_plain(&self, token: &str) -> Option<Caller> {
        let (signed, signature) = token.rsplit_once('.')?;
        let (header, claims) = signed.split_once('.')?;
        if !PLAIN_HEADERS.contains(&header) {
            return None;
        }
        let mut given = [0; 32];
        let length = BASE64_URL_SAFE_NO_PAD.decode_slice(signature, &mut given).ok()?;
        self.hmac_key.clone()?.chain_update(signed).verify_slice(&given[..length]).ok()?;
        let mut json = [0; PLAIN_CLAIMS];
        let length = BASE64_URL_SAFE_NO_PAD.decode_slice(claims, &mut json).ok()?;
        let PlainClaims { sub, role, exp, jti } = serde_json::from_slice(&json[..length]).ok()?;
        caller_of(token, sub, role, exp, jti)
    }
}

/// Whom good claims name; `None` when they name nobody.
fn caller_of(token: &str, sub: &str, role: &str, exp: f64, jti: Option<&str>) -> Option<Caller> {
    let buyer = Uuid::try_parse(sub).map(BuyerId).ok()?;
    let role = match role {
        "USER" => Role::User,
        "ADMIN" => Role::Admin,
        _ => return None,
    };
    // Far beyond any calendar the product saturates, which is "never".
    let expires_at = Timestamp((exp * 1e6) as i64);
    let access_id = jti.and_then(|jti| Uuid::try_parse(jti).ok()).unwrap_or_else(|| name_of(token));
    Some(Caller { buyer, role, access_id, expires_at })
}

/// The caller of a token that is remembered, which from now on is the latest used of its group.
fn recall(group: &mut [Option<Remembered>; GROUP], digest: u128) -> Option<Caller> {
    let at = group.iter().position(|known| known.is_some_and(|known| known.digest == digest))?;
    group[..=at].rotate_right(1);
    group[0].map(|known| known.caller)
}

fn half_digest(token: &str) -> u128 {
    let digest: [u8; 32] = Sha256::digest(token.as_bytes()).into();
    let mut half = [0; 16];
    half.copy_from_slice(&digest[..16]);
    u128::from_be_bytes(half)
}

/// A name for a token without a usable `jti`: a hash of what is signed.
fn name_of(token: &str) -> Uuid {
    let signed = token.rsplit_once('.').map_or(token, |(signed, _)| signed);
    let digest: [u8; 32] = Sha256::digest(signed.as_bytes()).into();
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}

/// The token of `Authorization: Bearer …`.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may end on its first surprise")]
    use super::*;
    use serde_json::{Value, json};

    const SECRET: &[u8] = b"an example secret of 32 bytes or more";
    const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

    fn tokens() -> AccessTokens {
        AccessTokens::new(SECRET, Revoked::default())
    }

    fn foreign(secret: &[u8], algorithm: Algorithm, claims: &Value) -> String {
        jsonwebtoken::encode(&Header::new(algorithm), claims, &EncodingKey::from_secret(secret)).unwrap()
    }

    #[test]
    fn a_minted_token_names_its_buyer_for_an_hour() {
        let tokens = tokens();
        let buyer = BuyerId(Uuid::from_u128(7));
        let minted = tokens.mint(buyer, Role::Admin, NOW).unwrap();
        for _ in 0..2 {
            let caller = tokens.verify(&minted.token, NOW).unwrap();
            assert_eq!((caller.buyer, caller.role, caller.access_id), (buyer, Role::Admin, minted.access_id));
        }
        assert!(tokens.verify(&minted.token, NOW + Duration::from_secs(3599)).is_ok());
        assert_eq!(tokens.verify(&minted.token, NOW + Duration::from_secs(3600)), Err(TokenFault::Expired));
    }

    #[test]
    fn a_revoked_token_stops_at_once() {
        let tokens = tokens();
        let minted = tokens.mint(BuyerId(Uuid::from_u128(7)), Role::User, NOW).unwrap();
        assert!(tokens.verify(&minted.token, NOW).is_ok());
        tokens.revoked().add(minted.access_id, minted.expires_at);
        assert_eq!(tokens.verify(&minted.token, NOW), Err(TokenFault::Revoked));
    }

    #[test]
    fn only_signature_algorithm_expiry_and_revocation_are_reasons_to_refuse() {
        let tokens = tokens();
        let sub = "0190a000-0000-4000-8000-000000000001";
        let check = |secret: &[u8], algorithm, claims: Value, expected: Result<(), TokenFault>| {
            let actual = tokens.verify(&foreign(secret, algorithm, &claims), NOW).map(drop);
            assert_eq!(actual, expected, "{claims}");
        };
        let bad = Err(TokenFault::Bad);
        let bare = json!({ "sub": sub, "role": "USER", "exp": 1_800_000_001 });
        check(SECRET, Algorithm::HS256, bare.clone(), Ok(()));
        check(SECRET, Algorithm::HS512, bare.clone(), bad);
        check(b"another secret", Algorithm::HS256, bare, bad);
        let with_all = json!({ "sub": sub, "role": "ADMIN", "exp": 1_800_000_001.5, "aud": "x", "iss": "y",
            "jti": "not-a-uuid", "nbf": 9_999_999_999_u64 });
        check(SECRET, Algorithm::HS256, with_all, Ok(()));
        check(SECRET, Algorithm::HS256, json!({ "sub": sub, "role": "USER" }), bad);
        check(SECRET, Algorithm::HS256, json!({ "sub": "me", "role": "USER", "exp": 1_800_000_001 }), bad);
        check(SECRET, Algorithm::HS256, json!({ "sub": sub, "role": "ROOT", "exp": 1_800_000_001 }), bad);
        let past = json!({ "sub": sub, "role": "USER", "exp": 1_800_000_000 });
        check(SECRET, Algorithm::HS256, past, Err(TokenFault::Expired));
    }

    #[test]
    fn what_is_read_at_once_the_library_reads_alike() {
        let tokens = tokens();
        let sub = "0190a000-0000-4000-8000-000000000001";
        let plain = |claims: Value| tokens.decode_plain(&foreign(SECRET, Algorithm::HS256, &claims));
        let minted = tokens.mint(BuyerId(Uuid::from_u128(7)), Role::Admin, NOW).unwrap().token;
        let whole = json!({ "sub": sub, "role": "USER", "exp": 1_800_000_001, "jti": sub, "aud": ["x"] });
        let bare = json!({ "sub": sub, "role": "ADMIN", "exp": 1.8e9 });
        for token in
            [minted.clone(), foreign(SECRET, Algorithm::HS256, &whole), foreign(SECRET, Algorithm::HS256, &bare)]
        {
            let mut library = self::tokens();
            library.hmac_key = None;
            let actual = library.decode(&token);
            assert!(actual.is_ok());
            assert_eq!(tokens.decode_plain(&token), actual.ok());
        }
        // What takes copying, or is wrong, is left to the library.
        assert_eq!(plain(json!({ "sub": sub, "role": "US\u{7}ER", "exp": 1_800_000_001 })), None);
        assert_eq!(plain(json!({ "sub": sub, "role": "USER", "exp": 1_800_000_001, "x": "y".repeat(600) })), None);
        assert_eq!(plain(json!({ "sub": sub, "role": "USER" })), None);
        let (signed, signature) = minted.rsplit_once('.').unwrap();
        assert_eq!(tokens.decode_plain(&format!("{signed}.{}", &signature[..42])), None);
        assert_eq!(tokens.decode_plain(&format!("{signed}.")), None);
        let (header, claims) = signed.split_once('.').unwrap();
        assert_eq!(tokens.decode_plain(&format!("{header}.{}A.{signature}", &claims[..claims.len() - 1])), None);
        assert_eq!(tokens.decode_plain(&format!("{}.{claims}.{signature}", PLAIN_HEADERS[1])), None);
    }

    #[test]
    fn the_none_algorithm_is_refused() {
        let token = "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.eyJzdWIiOiIwMTkwYTAwMC0wMDAwLTQwMDAtODAwMC0wMDAwMDAwMDAwMDEiLCJyb2xlIjoiQURNSU4iLCJleHAiOjk5OTk5OTk5OTl9.";
        assert_eq!(tokens().verify(token, NOW), Err(TokenFault::Bad));
    }

    #[test]
    fn the_scheme_is_bearer_in_any_case() {
        let check = |value: &str, expected: Option<&str>| {
            let mut headers = HeaderMap::new();
            headers.insert(header::AUTHORIZATION, value.parse().unwrap());
            assert_eq!(bearer(&headers), expected);
        };
        check("Bearer abc", Some("abc"));
        check("bearer abc", Some("abc"));
        check("Basic abc", None);
        check("Bearer", None);
    }
}
