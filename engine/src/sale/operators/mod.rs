//! What administrators do to a sale. Must never touch a hold whose charge is under way: its outcome is not known.

pub(crate) mod cancel_reservation;
pub(crate) mod postpone;

#[cfg(test)]
mod tests;
