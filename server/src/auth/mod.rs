//! Who calls: access tokens, their revocation, and the MACs of queue tokens, payment keys and tickets.
//! Must never log a token or a secret, and never compare a MAC byte by byte.

mod access;
mod revoked;
mod token_signer;

pub use access::{ACCESS_LIFETIME, AccessTokens, Caller, Minted, TokenFault};
pub use revoked::Revoked;
pub use token_signer::{TokenSigner, derived_key};
