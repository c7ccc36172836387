//! The waiting room: the line, admission, and the slots of those who were admitted; each rule has its file. Must never read a
//! clock, and never know seats.

pub(crate) mod absence;
pub(crate) mod admit;
pub(crate) mod closing;
pub(crate) mod enter;
pub(crate) mod line;
pub(crate) mod ordinals;
pub(crate) mod restore;
pub(crate) mod slot;
pub(crate) mod status;
pub(crate) mod waiting_room;
pub(crate) mod window;

#[cfg(test)]
mod tests;
