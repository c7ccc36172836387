//! Money that a provider reports as moved and that no payment accounts for: recorded once, as a fact, for an operator to look
//! into. Must never decide what happens to the money.

use crate::id::PaymentId;
use crate::limits::UNMATCHED_KEPT;
use crate::sale::Sale;
use crate::sale::fact::{Fact, Facts, MoneyMoved};
use crate::sale::snapshot::UnmatchedRow;
use smallvec::smallvec;
use std::collections::VecDeque;

/// The outcomes that were recorded, oldest first: a repeat of one of them is no new one.
#[derive(Clone, Default)]
pub(crate) struct Unmatched(VecDeque<UnmatchedRow>);

impl Unmatched {
    fn push(&mut self, row: UnmatchedRow) {
        self.0.push_back(row);
        while self.0.len() > UNMATCHED_KEPT {
            self.0.pop_front();
        }
    }

    pub(crate) fn rows(&self) -> Vec<UnmatchedRow> {
        self.0.iter().copied().collect()
    }

    pub(crate) fn from_rows(rows: Vec<UnmatchedRow>) -> Self {
        Self(rows.into())
    }
}

impl Sale {
    /// The fact that records it, unless it was recorded before.
    pub(crate) fn note_unmatched(&self, payment: PaymentId, moved: MoneyMoved) -> Facts {
        if self.unmatched.0.contains(&UnmatchedRow { payment, moved }) {
            return Facts::new();
        }
        smallvec![Fact::OutcomeUnmatched { payment, moved }]
    }

    pub(crate) fn apply_unmatched(&mut self, payment: PaymentId, moved: MoneyMoved) {
        self.unmatched.push(UnmatchedRow { payment, moved });
    }

    /// Outcomes that no payment accounts for, the oldest first and no more than [`UNMATCHED_KEPT`].
    #[must_use]
    pub fn unmatched(&self) -> Vec<UnmatchedRow> {
        self.unmatched.rows()
    }
}
