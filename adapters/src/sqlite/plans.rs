//! Port `Plans` on SQLite: compiled plans by their hash, each compiled once and shared. Keeps the few latest alive;
//! all others live as long as a sale uses them.

use super::data_dir::{DataDir, OpenError};
use crate::plan_form;
use onsale_engine::id::PlanHash;
use onsale_engine::plan::Plan;
use onsale_engine::ports::{Plans, ReadError};
use parking_lot::Mutex;
use rusqlite::{Connection, OptionalExtension};
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Weak};

/// Plans kept alive though no sale uses them: a large one takes some megabytes.
const KEPT_ALIVE: usize = 4;

/// The plans of a data directory. Its calls block.
pub struct SqlitePlans {
    connection: Mutex<Connection>,
    cache: Mutex<Cache>,
    _dir: DataDir,
}

#[derive(Default)]
struct Cache {
    known: HashMap<PlanHash, Weak<Plan>>,
    latest: VecDeque<Arc<Plan>>,
}

impl SqlitePlans {
    /// The plans in `dir`.
    ///
    /// # Errors
    /// As [`DataDir::library`].
    pub fn open(dir: &DataDir) -> Result<Arc<Self>, OpenError> {
        let (connection, cache) = (Mutex::new(dir.library()?), Mutex::default());
        Ok(Arc::new(Self { connection, cache, _dir: dir.clone() }))
    }

    /// Shares a plan that is stored from now on.
    pub(super) fn share(&self, plan: &Arc<Plan>) -> Arc<Plan> {
        self.cache.lock().share(plan)
    }

    fn stored(&self, hash: PlanHash) -> rusqlite::Result<Option<Vec<u8>>> {
        let connection = self.connection.lock();
        let mut statement = connection.prepare_cached("SELECT body FROM plans WHERE hash = ?1")?;
        statement.query_row([hash.0], |row| row.get(0)).optional()
    }
}

impl Plans for SqlitePlans {
    fn plan(&self, hash: PlanHash) -> Result<Option<Arc<Plan>>, ReadError> {
        if let Some(plan) = self.cache.lock().find(hash) {
            return Ok(Some(plan));
        }
        let stored = self.stored(hash).map_err(|error| ReadError::Unavailable(error.to_string()))?;
        let Some(packed) = stored else { return Ok(None) };
        let plan = plan_form::unpack(&packed, hash)
            .map_err(|error| ReadError::Unavailable(format!("plan {hash}: {error}")))?;
        // Another thread may have been quicker: then its plan is the shared one.
        Ok(Some(self.share(&Arc::new(plan))))
    }
}

impl Cache {
    fn find(&self, hash: PlanHash) -> Option<Arc<Plan>> {
        self.known.get(&hash).and_then(Weak::upgrade)
    }

    fn share(&mut self, plan: &Arc<Plan>) -> Arc<Plan> {
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
