//! What the stages after a turn hand on: what one turn of an actor has decided, and a batch of them with their facts in one piece.
//! Must never be answered before its facts are durable.

use crate::id::Epoch;
use crate::limits::FACTS_PER_LOCK;
use crate::ports::JournalEntry;
use crate::runtime::answer::{Answer, ReplyTo};
use crate::runtime::handle::SaleHandle;
use crate::runtime::origins::Origins;
use crate::sale::PaymentView;
use crate::trace::{Origin, Scope};
use std::sync::Arc;
use tokio::sync::oneshot;

/// The facts of one turn of an actor, and who waits for their commit.
pub(crate) struct Decisions {
    pub(crate) sale: Arc<SaleHandle>,
    /// The epoch of the actor. What it decided rests on facts of that epoch, also where it decided no new ones.
    pub(crate) epoch: Epoch,
    pub(crate) rows: Vec<JournalEntry>,
    /// Where the rows came from, but for those that passing time has made.
    pub(crate) origins: Origins,
    /// Where rows may be parted: each is the end of a decision.
    pub(crate) cuts: Vec<usize>,
    pub(crate) answers: Vec<(ReplyTo, Answer)>,
    pub(crate) settled: Vec<(oneshot::Sender<PaymentView>, PaymentView)>,
}

impl Decisions {
    /// Of a turn in which nothing has been decided yet.
    pub(crate) fn of(sale: &Arc<SaleHandle>, epoch: Epoch) -> Self {
        Self {
            sale: Arc::clone(sale),
            epoch,
            rows: Vec::new(),
            origins: Origins::default(),
            cuts: Vec::new(),
            answers: Vec::new(),
            settled: Vec::new(),
        }
    }

    /// The last row is the last of a decision, whose facts nobody may see half of.
    pub(crate) fn decision_ends(&mut self) {
        if self.rows.len() >= self.cuts.last().unwrap_or(&0) + FACTS_PER_LOCK {
            self.cuts.push(self.rows.len());
        }
    }

    /// Whether there is nothing to commit and nobody to answer.
    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty() && self.answers.is_empty()
    }

    /// Whether their epoch still owns the event.
    pub(crate) fn is_current(&self) -> bool {
        self.sale.ownership.is_owned_by(self.epoch)
    }
}

/// Turns that are committed together, and their facts in one piece.
pub(crate) struct Batch {
    pub(crate) turns: Vec<Decisions>,
    pub(crate) rows: Vec<JournalEntry>,
    /// Where the rows of each turn end.
    pub(crate) ends: Vec<usize>,
}

impl Batch {
    pub(crate) fn of(mut turns: Vec<Decisions>) -> Self {
        let total: usize = turns.iter().map(|turn| turn.rows.len()).sum();
        let mut ends = Vec::with_capacity(turns.len());
        let mut rows: Vec<JournalEntry> =
            turns.first_mut().map(|first| std::mem::take(&mut first.rows)).unwrap_or_default();
        rows.reserve_exact(total - rows.len());
        ends.push(rows.len());
        for turn in turns.iter_mut().skip(1) {
            rows.append(&mut turn.rows);
            ends.push(rows.len());
        }
        Self { turns, rows, ends }
    }

    /// What lines about its commit belong to: the event if it has facts of one alone, the request if it is of one alone.
    pub(crate) fn scope(&self) -> Scope {
        let Some((first, others)) = self.turns.split_first() else { return Scope::NONE };
        let is_of_one_event = others.iter().all(|turn| Arc::ptr_eq(&turn.sale, &first.sale));
        Scope {
            origin: if others.is_empty() { first.origins.only() } else { Origin::NONE },
            event: is_of_one_event.then(|| first.sale.event()),
        }
    }

    /// Whether there is something to append.
    pub(crate) fn has_rows(&self) -> bool {
        !self.rows.is_empty()
    }

    /// How many wait for its commit.
    pub(crate) fn answers(&self) -> usize {
        self.turns.iter().map(|turn| turn.answers.len()).sum()
    }
}
