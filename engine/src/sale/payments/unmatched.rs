//! Money that a provider says has moved and that no payment accounts for: written down once, as a fact, for somebody to look
//! into. Must never decide what becomes of the money.

use crate::id::PaymentId;
use crate::limits::UNMATCHED_KEPT;
use crate::sale::Sale;
use crate::sale::fact::{Fact, Facts, MoneyMoved};
use crate::sale::snapshot::UnmatchedRow;
use smallvec::smallvec;
use std::collections::VecDeque;

/// The outcomes that were written down, oldest first: a repeat of one of them is none of its own.
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
    /// The fact that says so, unless it was written down before.
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
