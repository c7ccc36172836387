//! The sale of one event: seat ledger and waiting room, owned together. `decide` only reads, `apply` only writes
//! and cannot fail; replay calls `apply` alone. Must never read a clock, a generator or the order of a hash map.

mod command;
mod config;
mod fact;
mod rejection;
mod reply;
mod snapshot;

pub use command::{
    ChangeHold, ChargeOutcome, Command, ConfirmPayment, Hold, OpenPayment, RequestKey, Seats, Selection,
};
pub use config::{AdmissionConfig, SaleConfig, Steering, SteeringChange};
pub use fact::{Entry, Fact, Facts, PaymentFailure, RefundReason, RememberedAnswer};
pub use rejection::Rejection;
pub use reply::{
    PaymentStatus, PaymentView, PlaceStatus, PlaceView, Reply, ReservationStatus, ReservationView, SalePhase,
    SeatCounts, SteeringView, Version,
};
pub use snapshot::{KeyRow, PaymentRow, PlaceRow, PlaceState, ReservationRow, RoomSnapshot, SaleSnapshot};
