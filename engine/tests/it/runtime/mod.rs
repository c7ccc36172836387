//! The real engine, its actors and threads, on fakes of its ports that fail when a test asks for it. Nothing here sleeps and hopes:
//! a test waits until something is so, or fails.

mod failing_journal;
mod fencing;
mod free;
mod house;
mod load;
mod long_walks;
mod money;
mod origins;
mod places;
mod recovery;
mod sharing;
mod supervision;
mod tables_behind;
mod unloading;
