//! Which scenario is run.

use super::error::LoadError;
use super::field::Field;
use super::findings::Findings;
use super::settings::Scenario;
use super::{catalogue, queue, shop};
use std::rc::Rc;

pub(super) async fn run(field: &Rc<Field>) -> Result<Findings, LoadError> {
    match field.settings.scenario {
        Scenario::Queue => queue::run(field).await,
        Scenario::Seats | Scenario::Payments | Scenario::Purchase => shop::run(field).await,
        Scenario::Catalogue => catalogue::run(field).await,
    }
}
