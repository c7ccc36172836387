//! Port `Plans` on Postgres: compiled plans by their hash, each compiled once and shared.

use super::database::Postgres;
use super::failure::Failure;
use crate::plan_cache::PlanCache;
use crate::plan_form;
use onsale_engine::id::PlanHash;
use onsale_engine::plan::Plan;
use onsale_engine::ports::{Plans, ReadError};
use parking_lot::Mutex;
use std::sync::Arc;

/// The plans of a database. Its calls block.
pub struct PostgresPlans {
    database: Postgres,
    cache: Mutex<PlanCache>,
}

impl PostgresPlans {
    /// The plans in `database`.
    #[must_use]
    pub fn new(database: &Postgres) -> Arc<Self> {
        Arc::new(Self { database: database.clone(), cache: Mutex::default() })
    }

    /// Shares a plan that is stored from now on.
    pub(super) fn share(&self, plan: &Arc<Plan>) -> Arc<Plan> {
        self.cache.lock().share(plan)
    }

    fn stored(&self, hash: PlanHash) -> Result<Option<Vec<u8>>, Failure> {
        self.database.wait(async {
            let turn = self.database.inner.pool.turn().await?;
            let row = turn.query_opt("SELECT body FROM plans WHERE hash = $1", &[&&hash.0[..]]).await?;
            Ok(row.map(|row| row.get(0)))
        })
    }
}

impl Plans for PostgresPlans {
    fn plan(&self, hash: PlanHash) -> Result<Option<Arc<Plan>>, ReadError> {
        if let Some(plan) = self.cache.lock().find(hash) {
            return Ok(Some(plan));
        }
        let stored = self.stored(hash).map_err(|Failure(reason)| ReadError::Unavailable(reason))?;
        let Some(packed) = stored else { return Ok(None) };
        let plan = plan_form::unpack(&packed, hash)
            .map_err(|error| ReadError::Unavailable(format!("plan {hash}: {error}")))?;
        // Another thread may have been quicker: then its plan is the shared one.
        Ok(Some(self.share(&Arc::new(plan))))
    }
}
