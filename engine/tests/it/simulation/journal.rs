//! The journal that all nodes share, and who owns which event by it. A node that was fenced learns it from its next append.

use super::chance::Chance;
use onsale_engine::fakes::FakeJournal;
use onsale_engine::id::{Epoch, EventId};
use onsale_engine::ports::{Appended, Journal, JournalEntry, JournalError};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

#[derive(Default)]
struct Owners {
    /// The newest epoch of each event, and the node whose it is, if its raising was answered.
    newest: BTreeMap<EventId, (Epoch, Option<u64>)>,
    /// Which node each epoch was given to.
    by_epoch: BTreeMap<(EventId, Epoch), u64>,
    /// Nodes that were answered that another one owns the event, and have not raised its epoch since; with the number of that
    /// answer.
    fenced: BTreeMap<(u64, EventId), u64>,
    fencings: u64,
}

/// Clones are the same one.
#[derive(Clone, Default)]
pub struct Storage {
    pub journal: FakeJournal,
    owners: Arc<Mutex<Owners>>,
}

/// The journal as one node writes to it.
pub struct Port {
    storage: Storage,
    node: u64,
}

impl Storage {
    pub fn port(&self, node: u64) -> Port {
        Port { storage: self.clone(), node }
    }

    /// The node whose epoch is the newest.
    pub fn owner(&self, event: EventId) -> Option<(Epoch, u64)> {
        let owners = self.owners.lock().unwrap();
        let (epoch, node) = owners.newest.get(&event)?;
        node.map(|node| (*epoch, node))
    }

    /// Since when the node knows that another one owns the event, if it does.
    pub fn fenced(&self, node: u64, event: EventId) -> Option<u64> {
        self.owners.lock().unwrap().fenced.get(&(node, event)).copied()
    }

    /// Appends that were fenced.
    pub fn fencings(&self) -> u64 {
        self.owners.lock().unwrap().fencings
    }

    /// The node that may write facts of the epoch; none when no node has received it.
    pub fn writer(&self, event: EventId, epoch: Epoch) -> Option<u64> {
        self.owners.lock().unwrap().by_epoch.get(&(event, epoch)).copied()
    }

    /// The next write goes as chance has it; whether its answer will be lost.
    pub fn may_fail(&self, chance: &mut Chance) -> bool {
        match chance.below(1000) {
            0..50 => self.journal.fail_not_done(1),
            50..100 => self.journal.lose_answer(false),
            100..160 => self.journal.lose_answer(true),
            160..163 => self.journal.fail_fatally(),
            _ => return false,
        }
        true
    }
}

impl Journal for Port {
    fn append(&mut self, batch: &[JournalEntry]) -> Result<Appended, JournalError> {
        let appended = self.storage.journal.append(batch)?;
        let mut owners = self.storage.owners.lock().unwrap();
        owners.fencings += appended.fenced.len() as u64;
        let number = owners.fencings;
        for event in &appended.fenced {
            owners.fenced.entry((self.node, *event)).or_insert(number);
        }
        Ok(appended)
    }

    fn raise_epoch(&mut self, event: EventId) -> Result<Epoch, JournalError> {
        let raised = self.storage.journal.raise_epoch(event);
        let mut owners = self.storage.owners.lock().unwrap();
        match &raised {
            Ok(epoch) => {
                owners.newest.insert(event, (*epoch, Some(self.node)));
                owners.by_epoch.insert((event, *epoch), self.node);
                owners.fenced.remove(&(self.node, event));
            }
            // The node that had it may have lost it.
            Err(_) => owners.newest.entry(event).or_default().1 = None,
        }
        raised
    }
}
