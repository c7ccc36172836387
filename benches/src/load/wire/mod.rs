//! How requests reach the server: as HTTP/2 streams over some connections, or over HTTP/1.1 sockets. Everything runs on
//! one thread. Must never send a request twice, and never keep an answer back.

mod http1;
mod http2;
mod idle;
mod messages;
mod transports;

pub(super) use http2::Stream;
pub(super) use idle::Idle;
pub(super) use messages::{Ask, Got, Lost};
pub(super) use transports::Wire;
