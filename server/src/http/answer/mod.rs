//! Answers: bodies, the ways to make a response, JSON that is written member by member, long answers in pieces, and event
//! streams. Must never make what nobody reads: a slow client costs one piece of memory.

pub(super) mod body;
pub mod event_stream;
pub(super) mod json_text;
pub(super) mod open_streams;
pub(super) mod pieces;
pub mod response;
