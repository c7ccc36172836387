//! What a scenario finds out beyond latencies, and which scenario is run.

use super::LoadError;
use super::field::Field;
use super::levels::Level;
use super::order::Pace;
use super::settings::Scenario;
use super::{catalogue, queue, shop};
use onsale_engine::id::BuyerId;
use std::rc::Rc;

/// What a scenario says of itself.
pub(super) struct Findings {
    pub levels: Vec<Level>,
    /// Figures without a level.
    pub story: Vec<(String, String)>,
    /// Who was told which rank before anybody was let in.
    pub ranks: Vec<(BuyerId, u64)>,
    /// The admission rate, where people wait.
    pub rate: Option<u64>,
    /// How fast they were let in, as they were told.
    pub pace: Option<Pace>,
}

pub(super) async fn run(field: &Rc<Field>) -> Result<Findings, LoadError> {
    match field.settings.scenario {
        Scenario::Queue => queue::run(field).await,
        Scenario::Seats | Scenario::Payments | Scenario::Purchase => shop::run(field).await,
        Scenario::Catalogue => catalogue::run(field).await,
    }
}
