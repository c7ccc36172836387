//! The wake protocol, every interleaving of it: clients submit, an actor takes turns, and the journal commits meanwhile; with
//! two clients those of two preemptions at the most, with one client of four. A wake that is lost, or a turn that is waited for and
//! does not come, leaves threads that wait for each other, and loom says so.

mod sync;
#[path = "../../../src/runtime/wake.rs"]
#[allow(dead_code, reason = "no actor is replaced here, and no epoch raised")]
mod wake;

use loom::thread;
use std::time::Duration;
use sync::{Arc, Condvar, Mutex, Queue, lock, wait};
use wake::{CommitGate, Inbox, WakeState, Wakeable};

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

impl Wakeable for Actor {
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
            let turn = self.state.turn_begins();
            let mut commands = 0;
            while self.lane.pop().is_some() {
                commands += 1;
            }
            inbox.turn_ends(turn, |open| *open += commands);
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

/// Who brings a command, and how its turn is asked for.
#[derive(Clone, Copy)]
enum Client {
    /// A buyer: not before a commit that is running has ended.
    Buyer,
    /// An operator, an effect or the time: at once.
    Other,
}

/// Tries the interleavings of these clients, an actor and the journal, and says how many there were.
fn every_command_is_committed(clients: &'static [Client], turns_per_commit: u32, preemptions: usize) -> usize {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(preemptions);
    let tried = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let count = std::sync::Arc::clone(&tried);
    model.check(move || {
        count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let (actor, gate) = (Arc::new(Actor::new()), Arc::new(CommitGate::new(turns_per_commit)));
        let inbox = Arc::new(Inbox::new(Arc::clone(&gate), 0));
        let submit = |client| {
            let (actor, gate) = (Arc::clone(&actor), Arc::clone(&gate));
            thread::spawn(move || {
                actor.lane.push(());
                match client {
                    Client::Buyer => gate.submitted(&actor),
                    Client::Other => actor.wake(),
                }
            })
        };
        let submitted: Vec<_> = clients.iter().map(|client| submit(*client)).collect();
        let (turns, theirs) = (Arc::clone(&actor), Arc::clone(&inbox));
        let turns = thread::spawn(move || turns.run(&theirs));
        let (mut committed, all) = (0, u32::try_from(clients.len()).unwrap());
        while committed < all {
            inbox.commit_begins();
            inbox.commit_ends();
            committed += inbox.take(Duration::ZERO, |open| *open > 0, std::mem::take);
        }
        submitted.into_iter().for_each(|client| client.join().unwrap());
        actor.close();
        turns.join().unwrap();
        assert_eq!((committed, actor.lane.pop()), (all, None));
    });
    let tried = tried.load(std::sync::atomic::Ordering::Relaxed);
    eprintln!("{tried} interleavings");
    tried
}

const TWO_BUYERS: &[Client] = &[Client::Buyer, Client::Buyer];

#[test]
fn no_wake_is_lost_when_all_are_put_off_to_the_end_of_the_commit() {
    assert!(every_command_is_committed(TWO_BUYERS, 0, 2) > 1000);
}

#[test]
fn no_wake_is_lost_when_a_turn_is_taken_during_the_commit() {
    assert!(every_command_is_committed(TWO_BUYERS, 1, 2) > 1000);
}

#[test]
fn no_wake_is_lost_when_something_else_wakes_the_actor_meanwhile() {
    assert!(every_command_is_committed(&[Client::Buyer, Client::Other], 0, 2) > 1000);
}

#[test]
fn no_wake_of_one_buyer_is_lost_with_four_preemptions() {
    assert!(every_command_is_committed(&[Client::Buyer], 0, 4) > 1000);
}
