//! What is the same for everybody at a sale and hardly ever changes: its state, its rules, its hall. Read without the lock of
//! the read view, behind which every reader would wait while the facts of a batch are brought in. Must never differ from the
//! view when an answer is given.

use crate::plan::Plan;
use crate::sale::{Sale, SaleConfig, SalePhase};
use arc_swap::ArcSwapOption;
use std::sync::Arc;

/// See the module.
#[derive(Clone, Debug)]
pub struct SaleInfo {
    /// The state of the sale itself.
    pub phase: SalePhase,
    /// The rules.
    pub config: Arc<SaleConfig>,
    /// The hall.
    pub plan: Arc<Plan>,
}

impl SaleInfo {
    /// `None` before the first fact.
    fn of(sale: &Sale) -> Option<Self> {
        let (config, plan) = (Arc::clone(sale.shared_config()?), Arc::clone(sale.plan()?));
        Some(Self { phase: sale.phase(), config, plan })
    }

    fn is_of(&self, sale: &Sale) -> bool {
        self.phase == sale.phase()
            && sale.shared_config().is_some_and(|config| Arc::ptr_eq(config, &self.config))
            && sale.plan().is_some_and(|plan| Arc::ptr_eq(plan, &self.plan))
    }
}

/// Where it is published.
pub(crate) struct PublishedInfo(ArcSwapOption<SaleInfo>);

impl PublishedInfo {
    pub(crate) fn of(sale: &Sale) -> Self {
        Self(ArcSwapOption::from_pointee(SaleInfo::of(sale)))
    }

    pub(crate) fn read(&self) -> Option<Arc<SaleInfo>> {
        self.0.load_full()
    }

    pub(crate) fn phase(&self) -> SalePhase {
        self.0.load().as_ref().map_or(SalePhase::Unconfigured, |info| info.phase)
    }

    /// Brings it up to date with the view, which is locked for it.
    pub(crate) fn update(&self, view: &Sale) {
        let is_current = match &*self.0.load() {
            Some(info) => info.is_of(view),
            None => view.config().is_none(),
        };
        if !is_current {
            self.0.store(SaleInfo::of(view).map(Arc::new));
        }
    }
}
