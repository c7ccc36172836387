//! Compiled plans by their hash, each compiled once and shared. Keeps the few latest alive; all others live as long as
//! somebody uses them. Must never read storage.

use onsale_engine::id::PlanHash;
use onsale_engine::plan::Plan;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Weak};

/// Plans kept alive though no sale uses them: a large one takes some megabytes.
const KEPT_ALIVE: usize = 4;

/// See the module.
#[derive(Default)]
pub(crate) struct PlanCache {
    known: HashMap<PlanHash, Weak<Plan>>,
    latest: VecDeque<Arc<Plan>>,
}

impl PlanCache {
    /// The plan of that content, if somebody has it.
    pub(crate) fn find(&self, hash: PlanHash) -> Option<Arc<Plan>> {
        self.known.get(&hash).and_then(Weak::upgrade)
    }

    /// Shares a plan from now on; answers the one that is shared, should another have been first.
    pub(crate) fn share(&mut self, plan: &Arc<Plan>) -> Arc<Plan> {
        if let Some(known) = self.find(plan.hash()) {
            return known;
        }
        self.known.retain(|_, plan| plan.strong_count() > 0);
        self.known.insert(plan.hash(), Arc::downgrade(plan));
        self.latest.push_back(plan.clone());
        if self.latest.len() > KEPT_ALIVE {
            self.latest.pop_front();
        }
        plan.clone()
    }
}
