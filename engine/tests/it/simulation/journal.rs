//! A journal as the sale's owner sees it: an append happens or does not, and the answer may be lost either way. An
//! owner with an old epoch cannot write, and a batch that is repeated is recognised.

use super::chance::Chance;
use onsale_engine::id::{Epoch, Seq};
use onsale_engine::sale::{Entry, Sale, SaleSnapshot};

#[derive(Debug, PartialEq)]
pub enum Append {
    Done,
    /// Certainly not done.
    Failed,
    /// The answer is lost.
    Unknown,
    /// Another owner has the sale.
    Fenced,
}

#[derive(Default)]
pub struct Journal {
    pub entries: Vec<Entry>,
    pub epoch: Epoch,
    snapshots: Vec<SaleSnapshot>,
}

impl Journal {
    pub fn raise_epoch(&mut self) -> Epoch {
        self.epoch = Epoch(self.epoch.0 + 1);
        self.epoch
    }

    /// Appends as chance has it.
    pub fn append(&mut self, batch: &[Entry], chance: &mut Chance) -> Append {
        match chance.below(100) {
            0..5 => Append::Failed,
            5..10 => Append::Unknown,
            10..15 => {
                let written = self.write(batch);
                if written { Append::Unknown } else { Append::Fenced }
            }
            _ => {
                let written = self.write(batch);
                if written { Append::Done } else { Append::Fenced }
            }
        }
    }

    /// All of it or nothing; true also when it is there already.
    pub fn write(&mut self, batch: &[Entry]) -> bool {
        let Some(first) = batch.first() else { return true };
        let at = first.seq.0 as usize - 1;
        if let Some(there) = self.entries.get(at..at + batch.len()) {
            return there == batch;
        }
        if at != self.entries.len() || first.epoch != self.epoch {
            return false;
        }
        self.entries.extend_from_slice(batch);
        true
    }

    pub fn keep(&mut self, snapshot: SaleSnapshot) {
        self.snapshots.push(snapshot);
    }

    /// The sale that the journal describes, from its beginning or from one of the snapshots.
    pub fn recover(&self, chance: &mut Chance) -> Sale {
        let from = if chance.percent(70) { chance.pick(&self.snapshots) } else { None };
        let mut sale = from.cloned().map_or_else(Sale::new, Sale::from_snapshot);
        self.after(sale.seq()).for_each(|entry| sale.apply(entry));
        sale
    }

    pub fn replayed(&self) -> Sale {
        let mut sale = Sale::new();
        self.entries.iter().for_each(|entry| sale.apply(entry));
        sale
    }

    fn after(&self, seq: Seq) -> impl Iterator<Item = &Entry> {
        self.entries.iter().skip(seq.0 as usize)
    }
}
