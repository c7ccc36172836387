//! The sale of one event: its seats, its places, its admission window, and the actor that owns them.
//!
//! Owns the domain (`sale`, without IO: time and randomness come in as arguments), the runtime around it
//! (`runtime`: one actor for each event, one journal for all), the ports (`ports`) behind which storage
//! and payment providers stand, and what a piece of work belongs to (`trace`). Must never name an adapter or
//! a database, and `sale` must never read a clock, an environment or a socket.

pub mod email;
pub mod id;
mod iso4217;
pub mod limits;
pub mod money;
pub mod plan;
pub mod ports;
pub mod sale;
pub mod shared_map;
pub mod text;
pub mod throttle;
pub mod ticket_number;
pub mod time;
pub mod trace;

#[cfg(any(test, feature = "fakes"))]
pub mod fakes;
pub mod runtime;
