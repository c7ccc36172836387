//! Who calls: access tokens, their revocation, and the seals (MACs) on queue tokens, payment keys and tickets.
//! Must never log a token or a secret, and never compare a MAC byte by byte.

mod access;
mod revoked;
mod seals;

pub use access::{ACCESS_LIFETIME, AccessTokens, Caller, Minted, TokenFault};
pub use revoked::Revoked;
pub use seals::{Seals, derived_key};
