//! What administrators do to a sale; blocking seats is in `seats/blocking.rs`. Each action is a fact with who did it. Must
//! never touch a hold whose charge is under way: its outcome is not known.

pub(crate) mod cancel_reservation;
pub(crate) mod cancel_sale;
pub(crate) mod configure;
pub(crate) mod postpone;
pub(crate) mod retire;
pub(crate) mod steer;

#[cfg(test)]
mod tests;
