//! The server over real sockets: the one integration binary of this crate, a module for each concern.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may end on its first surprise")]
#![allow(missing_docs, reason = "a test's name says what it shows")]

mod accounts;
mod administrators;
mod answers;
mod backup;
mod blocked_seats;
mod capacity;
mod catalogue;
mod config;
mod contention;
mod demo;
mod draw;
mod endings;
mod exporting;
mod free;
mod guessing;
mod halls;
mod harness;
mod input;
mod leaving;
mod lifecycle;
mod limits;
mod log_volume;
mod looking_up;
mod lost_line;
mod operating;
mod operators;
mod outbox;
mod payments;
mod port;
mod postgres;
mod protocol;
mod purchase;
mod repeats;
mod rescheduling;
mod reservations;
mod sharing;
mod shop;
mod storage_trouble;
mod streams;
mod telling;
mod times;
mod unavailable;
mod unloading;
mod waiting_room;
