//! Collections that a sale of millions of seats needs: none of them copies everything it holds when it grows, and clones share
//! what neither side writes. Must never know what a seat, a hold or a place is.

pub(crate) mod bits;
pub(crate) mod fifo;
pub(crate) mod index;
pub(crate) mod lazy;
pub(crate) mod slab;
pub(crate) mod sorted;
pub(crate) mod table;
