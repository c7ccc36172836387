//! Holds: seats taken by a buyer and not yet paid, and the reservations that they become. Must never decide where seats are:
//! that is `seats`.

pub(crate) mod reservation;
pub(crate) mod reservations;

#[cfg(test)]
mod tests;
