//! The waiting room: places in the line, admission, and the slots of those who were admitted. Must never read a clock.

pub(crate) mod closing;
pub(crate) mod line;
pub(crate) mod waiting_room;
pub(crate) mod window;

#[cfg(test)]
mod tests;
