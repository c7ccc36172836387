//! Seats: how each stands, which block is best, which seats may not be taken, and what a refusal offers instead. Must never
//! know who holds a seat: that is `holds`.

pub(crate) mod best_block;
pub(crate) mod blocking;
pub(crate) mod ledger;
pub(crate) mod pairs;
pub(crate) mod unavailable;

#[cfg(test)]
mod tests;
