//! What a scenario finds out beyond latencies.

use super::levels::Level;
use super::order::Pace;
use onsale_engine::id::BuyerId;

/// What a scenario says of itself.
pub(super) struct Findings {
    pub levels: Vec<Level>,
    /// Figures without a level.
    pub story: Vec<(String, String)>,
    /// Who was answered which rank before anybody was let in.
    pub ranks: Vec<(BuyerId, u64)>,
    /// The admission rate, where people wait.
    pub rate: Option<u64>,
    /// How fast they were let in, by their answers.
    pub pace: Option<Pace>,
}
