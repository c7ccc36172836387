//! Port `Plans` on SQLite: compiled plans by their hash, each compiled once and shared.

use super::data_dir::DataDir;
use super::open_error::OpenError;
use crate::plan_cache::PlanCache;
use crate::plan_form;
use onsale_engine::id::PlanHash;
use onsale_engine::plan::Plan;
use onsale_engine::ports::{Plans, ReadError};
use parking_lot::Mutex;
use rusqlite::{Connection, OptionalExtension};
use std::sync::Arc;

/// The plans of a data directory. Its calls block.
pub struct SqlitePlans {
    connection: Mutex<Connection>,
    cache: Mutex<PlanCache>,
    _dir: DataDir,
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
