//! Payments of holds: a charge is ordered by a durable fact, and its outcome comes back as a command, perhaps late, perhaps
//! twice. Must never ask a provider: that is the runtime's.

pub(crate) mod settle;
pub(crate) mod unmatched;

#[cfg(test)]
mod tests;
