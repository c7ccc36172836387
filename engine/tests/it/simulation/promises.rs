//! What must hold after everything that happens, whichever node it happens at, and what must have come of it in the end.

use super::chronicle::{Held, Paid};
use super::clients::{BUYERS, buyer};
use super::world::{EVENTS, Event, World};
use onsale_engine::id::{BuyerId, EventId, PaymentId, ReservationId};
use onsale_engine::ports::{Clock, JournalReader};
use onsale_engine::runtime::NextStep;
use onsale_engine::sale::{Entry, Fact, PaymentStatus, PaymentView, ReservationStatus, Sale};
use std::time::Duration;

impl World {
    pub fn check_promises(&mut self) {
        self.moment += 1;
        self.tally.fenced = self.storage.fencings();
        self.read_the_journal();
        self.nodes_know_what_they_own();
        self.views_are_believable();
        self.clients_receive();
    }

    /// Everything that was written since the last time, by whichever node.
    fn read_the_journal(&mut self) {
        for at in 0..self.events.len() {
            let (event, seq) = (self.events[at].id, self.events[at].chronicle.seq());
            for entry in self.storage.journal.entries_after(event, seq) {
                self.is_written(at, &entry);
            }
        }
    }

    fn is_written(&mut self, at: usize, entry: &Entry) {
        let event = self.events[at].id;
        let writer = self.storage.writer(event, entry.epoch);
        let writer = writer.unwrap_or_else(|| panic!("{entry:?} was written by nobody who owned {event}"));
        if let Fact::Entered { buyer, .. } = &entry.fact {
            self.is_in_one_event(*buyer, event, writer);
        }
        if let Fact::ReservationConfirmed { reservation, .. } = &entry.fact {
            let held = &self.events[at].chronicle.reservations[reservation];
            self.tally.late_money += u64::from(held.status == ReservationStatus::Expired);
        }
        self.events[at].chronicle.note(entry);
        self.requests.uses(event, &entry.fact);
        let tally = &mut self.tally;
        tally.facts += 1;
        match &entry.fact {
            Fact::Admitted { .. } => tally.admitted += 1,
            Fact::ReservationConfirmed { .. } => tally.confirmed += 1,
            Fact::PaymentRefunded { .. } => tally.refunded += 1,
            Fact::SaleCancelled { .. } => tally.cancelled_sales += 1,
            Fact::CohortFrozen { size, .. } => tally.drawn_buyers += size,
            Fact::Drawn { .. } => tally.draws += 1,
            Fact::HolderNotified { .. } => tally.notified += 1,
            _ => {}
        }
    }

    /// A buyer who enters has no place at another event that the same node served already when they asked.
    fn is_in_one_event(&mut self, buyer: BuyerId, event: EventId, writer: u64) {
        let Some(other) = self.events.iter().find(|other| other.id != event && other.chronicle.is_in_room(buyer))
        else {
            return;
        };
        let serves = self.serving.get(&(writer, other.id)).map(|(_, since)| *since);
        let asked = self.requests.entering_since(writer, event, buyer);
        let knew = serves.zip(asked).is_some_and(|(serves, asked)| serves < asked);
        assert!(
            !knew || self.in_both.contains(&buyer),
            "{buyer} has a place at {} and gets one at {event}, of the same node",
            other.id
        );
        self.in_both.insert(buyer);
    }

    /// Since when each node serves what it owns.
    fn nodes_know_what_they_own(&mut self) {
        for (node, event) in self.nodes.iter().flatten().flat_map(|node| EVENTS.map(|event| (node, event))) {
            let Some(sale) = node.engine.sale(event) else { continue };
            let key = (node.id, event);
            let owned = self.storage.owner(event).filter(|(_, owner)| *owner == node.id && sale.is_readable());
            match owned {
                Some((epoch, _)) if self.serving.get(&key).is_some_and(|(known, _)| *known == epoch) => {}
                Some((epoch, _)) => drop(self.serving.insert(key, (epoch, self.moment))),
                None => drop(self.serving.remove(&key)),
            }
            if sale.in_flight() == 0 {
                self.requests.none_in_flight(node.id, event);
            }
        }
    }

    /// What a node shows is a part of the journal; and all of it, if the node knows that somebody else writes.
    fn views_are_believable(&mut self) {
        let thorough = self.moment.is_multiple_of(16);
        for node in self.nodes.iter().flatten() {
            for Event { id, chronicle, .. } in &self.events {
                let Some(sale) = node.engine.sale(*id) else { continue };
                let seq = sale.view().seq();
                assert!(seq <= chronicle.seq(), "{id} is shown with facts that are in no journal");
                let knows = self.storage.fenced(node.id, *id).is_some() && node.hands.next_step() != NextStep::Publish;
                assert!(
                    !(knows && sale.is_readable() && seq < chronicle.seq()),
                    "a node that knows that another one owns {id} shows it as it was {} facts ago",
                    chronicle.seq().0 - seq.0
                );
                if thorough {
                    assert_eq!(sale.view().check_invariants(), Vec::<String>::new());
                    if seq == chronicle.seq() && seq.0 > 0 {
                        chronicle.agrees_with(&sale.view(), self.clock.now().max(sale.view().at()));
                    }
                }
            }
            if thorough {
                node.hands.each_actor(|_, sale| assert_eq!(sale.check_invariants(), Vec::<String>::new()));
            }
        }
    }

    fn clients_receive(&mut self) {
        let (events, storage) = (&self.events, &self.storage);
        let written =
            |event| events.iter().find(|one| one.id == event).map(|one| one.chronicle.seq()).unwrap_or_default();
        let fenced = |node, event| storage.fenced(node, event);
        for (event, payment) in self.requests.receive(written, fenced, &mut self.tally) {
            let event = events.iter().find(|one| one.id == event).unwrap();
            let paid = &event.chronicle.payments[&payment.id];
            assert!(has_settled(&payment, paid), "{payment:?} was received, but {paid:?}");
        }
    }

    /// Clients go home; one node is left, and its journal works; time passes until nothing is left to happen.
    pub fn come_to_rest(&mut self) {
        self.kill(1);
        if self.nodes[0].is_none() || self.chance.percent(30) {
            self.kill(0);
            self.start_node(0);
        }
        let mut are_reported = false;
        for _ in 0..20_000 {
            let is_owner = self.owns_everything();
            let node = self.nodes[0].as_mut().unwrap();
            if is_owner && !are_reported {
                self.reports.iter().for_each(|(event, report)| node.hands.report(*event, report.clone()));
            }
            are_reported = is_owner;
            node.work_off(&mut self.chance);
            let is_owed = EVENTS.iter().any(|event| node.sale(*event).view().open_money() != (Vec::new(), Vec::new()));
            let timer = node.hands.next_timer().map(|at| at.since(self.clock.now()));
            self.check_promises();
            let next = match timer {
                _ if is_owed || self.requests.are_waiting() => Duration::from_secs(1),
                Some(timer) => timer.max(Duration::from_millis(1)),
                None if is_owner => return,
                None => Duration::from_secs(1),
            };
            self.advance(next);
        }
        panic!("it does not come to rest: {:?}", self.nodes[0].as_ref().map(|node| &node.hands));
    }

    /// Whether the first node owns all events. It learns of those that it does not own, and starts again if it has given one
    /// up.
    fn owns_everything(&mut self) -> bool {
        let node = self.nodes[0].as_ref().unwrap();
        let lost = EVENTS.map(|event| self.storage.owner(event).is_none_or(|(_, owner)| owner != node.id));
        EVENTS.into_iter().zip(lost).filter(|(_, lost)| *lost).for_each(|(event, _)| node.engine.lose(event));
        let gives_up = !node.engine.health().quarantined.is_empty();
        if gives_up {
            self.kill(0);
            self.start_node(0);
        }
        !gives_up && !lost.contains(&true)
    }

    pub fn settle_accounts(&mut self) {
        let node = self.nodes[0].as_ref().unwrap();
        let (events, requests) = (&self.events, &self.requests);
        for event in events {
            let entries = self.storage.journal.entries(event.id);
            let mut sale = Sale::new();
            for entry in &entries {
                sale.apply(entry);
                requests.check_successes(event.id, &sale);
            }
            let view = node.sale(event.id).view().snapshot();
            assert_eq!(view, sale.snapshot(), "what is shown is what a replay gives");
            node.hands
                .each_actor(|id, sale| assert!(id != event.id || sale.snapshot() == view, "and the actor's sale"));
            let kept = self.storage.journal.snapshot(event.id).unwrap().map_or_else(Sale::new, Sale::from_snapshot);
            let (mut recovered, after) = (kept, entries.iter());
            self.tally.snapshots += u64::from(recovered.seq().0 > 0);
            let seq = recovered.seq();
            after.filter(|entry| entry.seq > seq).for_each(|entry| recovered.apply(entry));
            assert_eq!(recovered.snapshot(), view, "and what a snapshot and a replay give");
            assert_eq!(sale.open_money(), (Vec::new(), Vec::new()), "every charge and refund has come to its end");
            let idle = |who: BuyerId| !sale.is_in_room(who);
            assert!((0..BUYERS).map(buyer).all(idle), "nobody waits or shops any more");
            event.chronicle.agrees_with(&sale, self.clock.now());
            let seats = |id: &ReservationId| event.chronicle.reservations[id].status == ReservationStatus::Confirmed;
            assert!(event.chronicle.owners.values().all(seats), "nothing is held any more");
        }
        let is_cancelled = |id| events.iter().any(|event| event.id == id && event.chronicle.cancelled);
        requests.check_credits(is_cancelled);
        assert_eq!(
            (0..BUYERS).map(buyer).find_map(|who| node.engine.claims().of(who)),
            None,
            "nobody is claimed any more"
        );
        self.settle_money();
    }

    fn settle_money(&self) {
        let confirmed = |held: &&Held| held.status == ReservationStatus::Confirmed;
        let all = self.events.iter().flat_map(|event| event.chronicle.reservations.values());
        let sold: i64 = all.filter(confirmed).map(|held| held.amount).sum();
        let accounts = self.provider.accounts();
        let kept: i64 = accounts.values().map(|account| account.taken - account.given_back).sum();
        assert_eq!(kept, sold, "money kept is tickets sold");
        for (payment, account) in accounts {
            let (paid, pays) = self.paid(payment);
            let (taken, gone) = (account.taken > 0, account.refunds > 0);
            assert_eq!(paid.captured.is_some(), taken, "{payment:?} {account:?} {paid:?}");
            assert_eq!(paid.refunded, gone, "{payment:?} {account:?} {paid:?}");
            assert!(!taken || gone != pays, "either a ticket or the money: {paid:?}");
        }
    }

    /// A payment that the provider knows, and whether it pays a ticket.
    fn paid(&self, payment: PaymentId) -> (&Paid, bool) {
        let found = self.events.iter().find_map(|event| Some((event, event.chronicle.payments.get(&payment)?)));
        let (event, paid) = found.unwrap_or_else(|| panic!("the provider was asked to charge {payment:?}"));
        let reservation = paid.reservation.map(|id| event.chronicle.reservations[&id].status);
        (paid, paid.confirmed && !paid.refund_ordered && reservation == Some(ReservationStatus::Confirmed))
    }
}

fn has_settled(payment: &PaymentView, paid: &Paid) -> bool {
    match payment.status {
        PaymentStatus::Opened | PaymentStatus::Charging => false,
        PaymentStatus::Captured => paid.captured.is_some(),
        PaymentStatus::Failed(_) => paid.failed || paid.captured.is_some(),
        PaymentStatus::Refunded { .. } => paid.refund_ordered,
    }
}
