//! The wake protocol, every interleaving of it (two preemptions at the most): two clients submit, an actor takes turns, and the
//! journal commits meanwhile. A wake that is lost, or a turn that is waited for and does not come, leaves threads that wait for
//! each other, and loom says so.

mod sync;
#[path = "../../../src/runtime/wake.rs"]
#[allow(dead_code, reason = "no actor is replaced here, and no epoch raised")]
mod wake;

use loom::thread;
use std::time::Duration;
use sync::{Arc, Condvar, Mutex, Queue, lock, wait};
use wake::{Inbox, WakeState, Waked};

const CLIENTS: u32 = 2;

/// Unread wakes, and whether they are the last.
#[derive(Default)]
struct Mailbox {
    wakes: u32,
    is_closed: bool,
}

struct Actor {
    state: WakeState,
    lane: Queue<()>,
    mailbox: Mutex<Mailbox>,
    woken: Condvar,
}

impl Waked for Actor {
    fn wake_state(&self) -> &WakeState {
        &self.state
    }

    fn post_wake(&self) {
        let mut mailbox = lock(&self.mailbox);
        mailbox.wakes += 1;
        assert_eq!(mailbox.wakes, 1, "a burst costs one wake");
        drop(mailbox);
        self.woken.notify_one();
    }
}

impl Actor {
    fn new() -> Self {
        let (mailbox, woken) = (Mutex::new(Mailbox::default()), Condvar::new());
        Self { state: WakeState::new(), lane: Queue::new(), mailbox, woken }
    }

    /// Takes a turn for each wake, until the mailbox is closed.
    fn run(&self, inbox: &Inbox<Self, u32>) {
        while self.reads_a_wake() {
            self.state.turn_begins();
            let mut commands = 0;
            while self.lane.pop().is_some() {
                commands += 1;
            }
            inbox.turn_ends(self, |open| *open += commands);
        }
    }

    fn reads_a_wake(&self) -> bool {
        let mut mailbox = lock(&self.mailbox);
        while mailbox.wakes == 0 && !mailbox.is_closed {
            mailbox = wait(&self.woken, mailbox);
        }
        let is_woken = mailbox.wakes > 0;
        mailbox.wakes -= u32::from(is_woken);
        is_woken
    }

    fn close(&self) {
        lock(&self.mailbox).is_closed = true;
        self.woken.notify_one();
    }
}

fn every_command_is_committed(turns_per_commit: u32) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(2);
    model.check(move || {
        let actor = Arc::new(Actor::new());
        let inbox = Arc::new(Inbox::new(0, turns_per_commit));
        let clients: Vec<_> = (0..CLIENTS)
            .map(|_| {
                let (actor, inbox) = (Arc::clone(&actor), Arc::clone(&inbox));
                thread::spawn(move || {
                    actor.lane.push(());
                    inbox.submitted(&actor);
                })
            })
            .collect();
        let (turns, theirs) = (Arc::clone(&actor), Arc::clone(&inbox));
        let turns = thread::spawn(move || turns.run(&theirs));
        let mut committed = 0;
        while committed < CLIENTS {
            inbox.commit_begins();
            inbox.commit_ends();
            committed += inbox.take(Duration::ZERO, |open| *open > 0, std::mem::take);
        }
        clients.into_iter().for_each(|client| client.join().unwrap());
        actor.close();
        turns.join().unwrap();
        assert_eq!((committed, actor.lane.pop()), (CLIENTS, None));
    });
}

#[test]
fn no_wake_is_lost_when_all_are_put_off_to_the_end_of_the_commit() {
    every_command_is_committed(0);
}

#[test]
fn no_wake_is_lost_when_a_turn_is_taken_during_the_commit() {
    every_command_is_committed(1);
}
