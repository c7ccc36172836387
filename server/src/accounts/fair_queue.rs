//! A bounded queue that is fair between addresses: it takes one job of each address in rotation, and when it is full, the latest
//! job of the address with the most jobs is dropped. So a wave from one address delays itself alone. Must never hold more than
//! its bound, and never make one address wait for more than one job of each other one.

use crate::limits::Who;
use parking_lot::{Condvar, Mutex};
use std::collections::{HashMap, VecDeque};

/// See the module.
pub(super) struct FairQueue<T> {
    inner: Mutex<Inner<T>>,
    ready: Condvar,
    bound: usize,
}

struct Inner<T> {
    waiting: HashMap<Who, VecDeque<T>>,
    /// Each address that has something waiting once, the next one first.
    turns: VecDeque<Who>,
    total: usize,
    closed: bool,
}

/// What became of putting something into the queue.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Put<T> {
    /// It waits.
    Waits,
    /// It waits in the place of this one, the latest of an address that had more waiting.
    InsteadOf(T),
    /// The queue is full, and nobody has more waiting than this address would have.
    Full(T),
}

impl<T> FairQueue<T> {
    pub(super) fn new(bound: usize) -> Self {
        let inner = Inner { waiting: HashMap::new(), turns: VecDeque::new(), total: 0, closed: false };
        Self { inner: Mutex::new(inner), ready: Condvar::new(), bound: bound.max(1) }
    }

    pub(super) fn put(&self, from: Who, job: T) -> Put<T> {
        let mut inner = self.inner.lock();
        let outcome = if inner.total < self.bound {
            Put::Waits
        } else {
            match inner.give_way(from) {
                Some(displaced) => Put::InsteadOf(displaced),
                None => return Put::Full(job),
            }
        };
        inner.add(from, job);
        self.ready.notify_one();
        outcome
    }

    /// The next one, waited for; none once the queue is closed and empty.
    pub(super) fn take(&self) -> Option<T> {
        let mut inner = self.inner.lock();
        loop {
            if let Some(job) = inner.next() {
                return Some(job);
            }
            if inner.closed {
                return None;
            }
            self.ready.wait(&mut inner);
        }
    }

    pub(super) fn close(&self) {
        self.inner.lock().closed = true;
        self.ready.notify_all();
    }
}

impl<T> Inner<T> {
    fn add(&mut self, from: Who, job: T) {
        let jobs = self.waiting.entry(from).or_default();
        if jobs.is_empty() {
            self.turns.push_back(from);
        }
        jobs.push_back(job);
        self.total += 1;
    }

    fn next(&mut self) -> Option<T> {
        let from = self.turns.pop_front()?;
        let job = self.remove(from, VecDeque::pop_front);
        if self.waiting.contains_key(&from) {
            self.turns.push_back(from);
        }
        job
    }

    /// Takes the latest of the address with the most waiting, if that is more than `newcomer` would have. Compares every
    /// address in the queue, which the bound keeps few, and only when it is full.
    fn give_way(&mut self, newcomer: Who) -> Option<T> {
        let own = self.waiting.get(&newcomer).map_or(0, VecDeque::len);
        let (&most, jobs) = self.waiting.iter().max_by_key(|(who, jobs)| (jobs.len(), **who))?;
        if jobs.len() <= own + 1 {
            return None;
        }
        self.remove(most, VecDeque::pop_back)
    }

    fn remove(&mut self, from: Who, take: impl FnOnce(&mut VecDeque<T>) -> Option<T>) -> Option<T> {
        let jobs = self.waiting.get_mut(&from)?;
        let job = take(jobs);
        if jobs.is_empty() {
            self.waiting.remove(&from);
        }
        self.total -= usize::from(job.is_some());
        job
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(queue: &FairQueue<&'static str>) -> Vec<&'static str> {
        queue.close();
        std::iter::from_fn(|| queue.take()).collect()
    }

    #[test]
    fn addresses_take_turns_whatever_each_of_them_has_waiting() {
        let queue = FairQueue::new(10);
        for job in ["a1", "a2", "a3", "a4"] {
            assert_eq!(queue.put(1, job), Put::Waits);
        }
        queue.put(2, "b1");
        queue.put(3, "c1");
        queue.put(2, "b2");
        assert_eq!(all(&queue), ["a1", "b1", "c1", "a2", "b2", "a3", "a4"]);
    }

    #[test]
    fn a_full_queue_makes_room_at_the_cost_of_the_address_with_most() {
        let queue = FairQueue::new(4);
        for job in ["a1", "a2", "a3", "a4"] {
            queue.put(1, job);
        }
        assert_eq!(queue.put(1, "a5"), Put::Full("a5"), "its own wave is shed");
        assert_eq!(queue.put(2, "b1"), Put::InsteadOf("a4"));
        assert_eq!(queue.put(2, "b2"), Put::InsteadOf("a3"));
        assert_eq!(queue.put(2, "b3"), Put::Full("b3"), "two of each is a fair share");
        assert_eq!(queue.put(3, "c1"), Put::InsteadOf("b2"));
        assert_eq!(queue.put(4, "d1"), Put::InsteadOf("a2"));
        assert_eq!(queue.put(5, "e1"), Put::Full("e1"), "everybody has one");
        assert_eq!(all(&queue), ["a1", "b1", "c1", "d1"]);
    }

    #[test]
    fn what_waits_when_the_queue_is_closed_is_still_handed_out() {
        let queue = FairQueue::new(2);
        queue.put(1, "a1");
        queue.close();
        assert_eq!((queue.take(), queue.take()), (Some("a1"), None));
    }
}
