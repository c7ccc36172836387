//! Plans in memory, and a small hall with its rules to try things on.

use crate::id::PlanHash;
use crate::limits::HOLDS_PER_SLOT;
use crate::money::Amount;
use crate::plan::{Category, Plan, PlanDraft, RowDraft, SeatDraft, SectionDraft};
use crate::ports::{Plans, ReadError};
use crate::sale::{AdmissionConfig, SaleConfig};
use crate::time::Timestamp;
use hashbrown::HashMap;
use parking_lot::RwLock;
use std::sync::Arc;
use std::time::Duration;

/// Plans by their hash; clones share them.
#[derive(Clone, Debug, Default)]
pub struct FakePlans {
    plans: Arc<RwLock<HashMap<PlanHash, Arc<Plan>>>>,
}

impl FakePlans {
    /// Keeps these plans.
    #[must_use]
    pub fn of(plans: &[Arc<Plan>]) -> Self {
        let kept = Self::default();
        plans.iter().for_each(|plan| kept.keep(plan));
        kept
    }

    /// Keeps one more.
    pub fn keep(&self, plan: &Arc<Plan>) {
        self.plans.write().insert(plan.hash(), Arc::clone(plan));
    }
}

impl Plans for FakePlans {
    fn plan(&self, hash: PlanHash) -> Result<Option<Arc<Plan>>, ReadError> {
        Ok(self.plans.read().get(&hash).map(Arc::clone))
    }
}

/// A hall of rows `A`, `B`, … with seats `A-1`, `A-2`, … one unit apart. The front half of the rows (at least one)
/// is category `VIP`, the rest `STANDARD`.
#[must_use]
pub fn small_plan(rows: usize, seats_per_row: usize) -> Arc<Plan> {
    let row = |number: usize| {
        let label = row_label(number);
        let category = if number < rows.div_ceil(2) { "VIP" } else { "STANDARD" };
        let seats = (1..=seats_per_row).map(|seat| SeatDraft {
            id: format!("{label}-{seat}"),
            label: seat.to_string(),
            x: seat as f32,
            y: number as f32,
            category: category.to_owned(),
            ..SeatDraft::default()
        });
        RowDraft { seats: seats.collect(), label, ..RowDraft::default() }
    };
    let category = |name: &str, color: &str| Category { name: name.to_owned(), color: color.to_owned() };
    let draft = PlanDraft {
        size: (seats_per_row as f32, rows as f32),
        categories: vec![category("VIP", "#aa2222"), category("STANDARD", "#2222aa")],
        sections: vec![SectionDraft { rows: (0..rows).map(row).collect(), ..SectionDraft::default() }],
        ..PlanDraft::default()
    };
    let mut hash = [0; 32];
    hash[..8].copy_from_slice(&(rows as u64).to_be_bytes());
    hash[8..16].copy_from_slice(&(seats_per_row as u64).to_be_bytes());
    Arc::new(Plan::compile(&draft, PlanHash(hash)).expect("a good draft"))
}

/// `A` to `Z`, then `AA`, `AB`, …
fn row_label(number: usize) -> String {
    let letter = char::from(b'A' + (number % 26) as u8);
    match number / 26 {
        0 => letter.to_string(),
        more => format!("{}{letter}", row_label(more - 1)),
    }
}

/// Rules for a [`small_plan`]: on sale from `starts` for a day, holds of five minutes, four seats for each buyer,
/// no admission needed.
#[must_use]
pub fn small_config(starts: Timestamp) -> SaleConfig {
    let day = Duration::from_secs(24 * 3600);
    SaleConfig {
        sale_starts_at: starts,
        sale_ends_at: starts + day,
        cancellation_closes_at: starts + 2 * day,
        currency: "KRW".parse().expect("a currency"),
        prices: vec![Some(Amount(150_000)), Some(Amount(90_000))],
        blocked: Arc::default(),
        max_seats_per_buyer: 4,
        hold: Duration::from_secs(300),
        no_orphans: false,
        admission: AdmissionConfig {
            required: false,
            rate_per_second: 10,
            capacity: 50_000,
            active_limit: None,
            token: Duration::from_secs(600),
            absent: Duration::from_secs(300),
            draw: false,
            max_holds_per_slot: HOLDS_PER_SLOT,
            room_opens_at: None,
        },
    }
}
