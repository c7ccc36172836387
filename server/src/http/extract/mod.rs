//! Readers of requests: path parameters, query string, and bodies under their route's limit. Every mistake of a request is
//! collected and answered at once. Must never trust a declared length.

pub(super) mod mistakes;
pub(super) mod object;
pub(super) mod query;
pub(super) mod request;
mod unknown_members;
