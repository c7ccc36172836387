//! Every fact and a snapshot there and back, and bytes that were never written.
#![allow(clippy::unwrap_used, reason = "tests")]

mod samples;

use super::*;
use onsale_engine::fakes::{FakePlans, small_config, small_plan};
use onsale_engine::id::{
    BuyerId, Epoch, EventId, Ordinal, PaymentId, ReservationId, SeatIndex, Seq, Slot, TicketSerial,
};
use onsale_engine::money::Amount;
use onsale_engine::sale::draw::{DrawHash, DrawSeed};
use onsale_engine::sale::{
    CohortRow, DrawRow, Entry, Fact, KeyRow, LostRow, MoneyMoved, PaymentFailure, PaymentRow, PaymentStatus,
    PaymentView, PlaceRow, PlaceState, RefundReason, RememberedAnswer, RequestKey, RescheduleCause, ReservationRow,
    ReservationStatus, ReservationView, SalePhase, SaleSnapshot, Schedule, Seats, Steering, UnmatchedRow,
    WaitingRoomSnapshot,
};
use onsale_engine::time::Timestamp;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use uuid::Uuid;

/// Draws members: small, ordinary and extreme ones.
struct Draw(StdRng);

impl Draw {
    fn id(&mut self) -> Uuid {
        Uuid::from_u128(self.0.random())
    }
    fn number(&mut self) -> u64 {
        match self.0.random_range(0..4) {
            0 => self.0.random_range(0..3),
            1 => self.0.random_range(0..100_000),
            2 => u64::MAX - self.0.random_range(0..3),
            _ => self.0.random::<u64>() >> self.0.random_range(0..64),
        }
    }
    fn at(&mut self) -> Timestamp {
        Timestamp(self.number() as i64)
    }
    fn amount(&mut self) -> Amount {
        Amount(self.number() as i64)
    }
    fn seats(&mut self) -> Seats {
        let count = self.0.random_range(0..7);
        (0..count).map(|_| SeatIndex(self.number() as u32)).collect()
    }
    fn text(&mut self) -> Box<str> {
        let count = self.0.random_range(0..20);
        (0..count).map(|_| self.0.random::<char>()).collect::<String>().into()
    }
    fn maybe<T>(&mut self, draw: impl FnOnce(&mut Self) -> T) -> Option<T> {
        if self.0.random() { Some(draw(self)) } else { None }
    }
    fn reservation(&mut self) -> ReservationId {
        ReservationId(self.id())
    }
    fn payment(&mut self) -> PaymentId {
        PaymentId(self.id())
    }
    fn buyer(&mut self) -> BuyerId {
        BuyerId(self.id())
    }
    fn config(&mut self) -> onsale_engine::sale::SaleConfig {
        let mut config = small_config(self.at());
        config.prices = (0..self.0.random_range(0..20)).map(|_| self.maybe(Self::amount)).collect();
        config.blocked = self.seats().iter().copied().collect();
        config.max_seats_per_buyer = self.number() as u16;
        config.hold = std::time::Duration::from_micros(self.number());
        config.no_orphans = self.0.random();
        config.admission.active_limit = self.maybe(Self::number);
        config.admission.capacity = self.number();
        config.admission.room_opens_at = self.maybe(Self::at);
        config.admission.max_holds_per_slot = self.number() as u16;
        config
    }
    fn steering(&mut self) -> Steering {
        Steering {
            rate_per_second: self.number() as u32,
            active_limit: self.maybe(Self::number),
            required: self.0.random(),
            paused: self.0.random(),
            closed: self.0.random(),
            message: self.maybe(Self::text),
        }
    }
    fn key(&mut self) -> RequestKey {
        RequestKey { scope: self.0.random(), body: self.0.random() }
    }
    fn answer(&mut self) -> RememberedAnswer {
        match self.0.random_range(0..3) {
            0 => RememberedAnswer::Held {
                reservation: self.reservation(),
                seats: self.seats(),
                amount: self.amount(),
                created_at: self.at(),
                expires_at: self.at(),
            },
            1 => RememberedAnswer::PaymentOpened { payment: self.payment() },
            _ => RememberedAnswer::PaymentConfirmed { payment: self.payment() },
        }
    }
    fn failure(&mut self) -> PaymentFailure {
        match self.0.random_range(0..5) {
            0 => PaymentFailure::Declined(self.text()),
            1 => PaymentFailure::NotCharged,
            2 => PaymentFailure::AmountMismatch,
            3 => PaymentFailure::HoldEnded,
            _ => PaymentFailure::SaleCancelled,
        }
    }
    fn refund_reason(&mut self) -> RefundReason {
        let all = [
            RefundReason::BuyerCancelled,
            RefundReason::SaleCancelled,
            RefundReason::AmountMismatch,
            RefundReason::TooLate,
            RefundReason::OperatorCancelled,
        ];
        all[self.0.random_range(0..all.len())]
    }

    fn slot(&mut self) -> Slot {
        Slot(self.number())
    }

    fn moved(&mut self) -> MoneyMoved {
        if self.0.random() { MoneyMoved::Refunded } else { MoneyMoved::Captured { amount: self.amount() } }
    }

    fn seed(&mut self) -> DrawSeed {
        DrawSeed(self.0.random())
    }

    fn fact(&mut self, kind: FactKind) -> Fact {
        match kind {
            FactKind::Configured => {
                Fact::Configured { config: Arc::new(self.config()), plan: small_plan(3, 5), by: self.buyer() }
            }
            FactKind::SeatsHeld => Fact::SeatsHeld {
                reservation: self.reservation(),
                buyer: self.buyer(),
                seats: self.seats(),
                amount: self.amount(),
                expires_at: self.at(),
                slot: self.maybe(Self::slot),
            },
            FactKind::HoldChanged => {
                Fact::HoldChanged { reservation: self.reservation(), seats: self.seats(), amount: self.amount() }
            }
            FactKind::HoldReleased => Fact::HoldReleased { reservation: self.reservation() },
            FactKind::HoldExpired => Fact::HoldExpired { reservation: self.reservation() },
            FactKind::PaymentOpened => {
                Fact::PaymentOpened { payment: self.payment(), reservation: self.reservation(), amount: self.amount() }
            }
            FactKind::PaymentStarted => Fact::PaymentStarted { payment: self.payment(), transaction: self.text() },
            FactKind::PaymentUnknown => Fact::PaymentUnknown { payment: self.payment() },
            FactKind::PaymentCaptured => Fact::PaymentCaptured { payment: self.payment(), amount: self.amount() },
            FactKind::PaymentFailed => Fact::PaymentFailed { payment: self.payment(), reason: self.failure() },
            FactKind::ReservationConfirmed => Fact::ReservationConfirmed {
                reservation: self.reservation(),
                payment: self.payment(),
                seats: self.seats(),
                ticket: TicketSerial(self.number()),
            },
            FactKind::ReservationCancelled => {
                Fact::ReservationCancelled { reservation: self.reservation(), refund: self.amount() }
            }
            FactKind::RefundOrdered => {
                Fact::RefundOrdered { payment: self.payment(), amount: self.amount(), reason: self.refund_reason() }
            }
            FactKind::PaymentRefunded => Fact::PaymentRefunded { payment: self.payment() },
            FactKind::OrdinalsReserved => Fact::OrdinalsReserved {
                first: Ordinal(self.number()),
                last: Ordinal(self.number()),
                epoch: Epoch(self.number()),
            },
            FactKind::Entered => Fact::Entered { buyer: self.buyer(), ordinal: Ordinal(self.number()) },
            FactKind::Left => Fact::Left { buyer: self.buyer() },
            FactKind::Admitted => {
                Fact::Admitted { buyer: self.buyer(), slot: Slot(self.number()), due: self.at(), expires_at: self.at() }
            }
            FactKind::SlotExpired => Fact::SlotExpired { buyer: self.buyer() },
            FactKind::PlaceExpired => Fact::PlaceExpired { buyer: self.buyer() },
            FactKind::Steered => {
                Fact::Steered { steering: self.steering(), by: self.buyer(), reason: self.maybe(Self::text) }
            }
            FactKind::SeatsBlocked => Fact::SeatsBlocked {
                seats: self.seats().iter().copied().collect(),
                by: self.buyer(),
                reason: self.text(),
            },
            FactKind::SeatsUnblocked => Fact::SeatsUnblocked {
                seats: self.seats().iter().copied().collect(),
                by: self.buyer(),
                reason: self.text(),
            },
            FactKind::SaleCancelled => Fact::SaleCancelled { by: self.buyer() },
            FactKind::SaleRetired => Fact::SaleRetired { by: self.buyer() },
            FactKind::DrawCommitted => {
                let seed = self.seed();
                Fact::DrawCommitted { seed, commitment: seed.commitment() }
            }
            FactKind::CohortFrozen => Fact::CohortFrozen { root: DrawHash(self.0.random()), size: self.number() },
            FactKind::Drawn => Fact::Drawn { seed: self.seed() },
            FactKind::Restored => {
                Fact::Restored { buyer: self.buyer(), ordinal: Ordinal(self.number()), waits_until: self.at() }
            }
            FactKind::OutcomeUnmatched => Fact::OutcomeUnmatched { payment: self.payment(), moved: self.moved() },
            FactKind::Rescheduled => Fact::Rescheduled {
                sale_ends_at: self.at(),
                cancellation_closes_at: self.at(),
                cause: match self.maybe(Self::at) {
                    None => RescheduleCause::TimeZone,
                    Some(starts_at) => {
                        RescheduleCause::Postponed { starts_at, ends_at: self.at(), cancellable_until: self.at() }
                    }
                },
                by: self.buyer(),
                reason: self.maybe(Self::text),
            },
            FactKind::HolderNotified => Fact::HolderNotified {
                reservation: self.reservation(),
                starts_at: self.at(),
                ends_at: self.at(),
                cancellation_closes_at: self.at(),
            },
            FactKind::CancelledByOperator => Fact::CancelledByOperator {
                reservation: self.reservation(),
                refund: self.amount(),
                by: self.buyer(),
                reason: self.text(),
            },
            FactKind::ReleasedByOperator => {
                Fact::ReleasedByOperator { reservation: self.reservation(), by: self.buyer(), reason: self.text() }
            }
            FactKind::KeyRemembered => Fact::KeyRemembered { key: self.key(), answer: self.answer() },
        }
    }

    fn reservation_row(&mut self) -> ReservationRow {
        let all = [
            ReservationStatus::Pending,
            ReservationStatus::Confirmed,
            ReservationStatus::Cancelled,
            ReservationStatus::Expired,
        ];
        let view = ReservationView {
            id: self.reservation(),
            buyer: self.buyer(),
            status: all[self.0.random_range(0..4)],
            seats: self.seats(),
            amount: self.amount(),
            hold_expires_at: self.at(),
            created_at: self.at(),
            confirmed_at: self.maybe(Self::at),
            ticket: self.maybe(|draw| TicketSerial(draw.number())),
            refund: self.maybe(Self::amount),
        };
        ReservationRow { created_seq: Seq(self.number()), view }
    }

    fn payment_row(&mut self) -> PaymentRow {
        let status = match self.0.random_range(0..5) {
            0 => PaymentStatus::Opened,
            1 => PaymentStatus::Charging,
            2 => PaymentStatus::Captured,
            3 => PaymentStatus::Failed(self.failure()),
            _ => PaymentStatus::Refunded { reason: self.refund_reason(), settled: self.0.random() },
        };
        let view = PaymentView {
            id: self.payment(),
            reservation: self.reservation(),
            buyer: self.buyer(),
            amount: self.amount(),
            status,
            created_at: self.at(),
            paid_at: self.maybe(Self::at),
        };
        PaymentRow {
            created_seq: Seq(self.number()),
            view,
            transaction: self.maybe(Self::text),
            charging_until: self.maybe(Self::at),
            unknown: self.0.random(),
            captured: self.amount(),
        }
    }

    fn place(&mut self) -> PlaceRow {
        let state = match self.0.random_range(0..3) {
            0 => PlaceState::Waiting,
            1 => PlaceState::Active { slot: self.slot(), expires_at: self.at(), holds_made: self.number() as u16 },
            _ => PlaceState::Expired { at: self.at() },
        };
        PlaceRow { buyer: self.buyer(), ordinal: Ordinal(self.number()), state }
    }

    fn snapshot(&mut self) -> SaleSnapshot {
        let all = [SalePhase::Unconfigured, SalePhase::Scheduled, SalePhase::Cancelled, SalePhase::Retired];
        let many = self.0.random_range(0..20);
        SaleSnapshot {
            seq: Seq(self.number()),
            at: self.at(),
            phase: all[self.0.random_range(0..4)],
            config: self.maybe(Self::config),
            plan: self.maybe(|_| small_plan(3, 5)),
            steering: self.maybe(Self::steering),
            tickets: self.number(),
            reservations: (0..many).map(|_| self.reservation_row()).collect(),
            payments: (0..many).map(|_| self.payment_row()).collect(),
            keys: (0..many).map(|_| KeyRow { key: self.key(), at: self.at(), answer: self.answer() }).collect(),
            room: WaitingRoomSnapshot {
                next: self.number(),
                reserved: self.number(),
                block_epoch: Epoch(self.number()),
                admitted_total: self.number(),
                window: (0..many).map(|_| self.at()).collect(),
                possible_since: self.maybe(Self::at),
                places: (0..many).map(|_| self.place()).collect(),
                used: (0..many).map(|_| (Ordinal(self.number()), Ordinal(self.number()))).collect(),
                lost_from: self.number(),
                lost: self.maybe(|draw| LostRow {
                    top: Ordinal(draw.number()),
                    returned: draw.number(),
                    waits_until: draw.at(),
                }),
            },
            made_at: self.at(),
            draw: self.maybe(Self::draw_row),
            unmatched: (0..many).map(|_| UnmatchedRow { payment: self.payment(), moved: self.moved() }).collect(),
            schedule: self.maybe(|draw| Schedule {
                starts_at: draw.at(),
                ends_at: draw.at(),
                cancellable_until: draw.at(),
                last_ticket: TicketSerial(draw.number()),
                next: draw.maybe(|draw| (Seq(draw.number()), draw.reservation())),
            }),
        }
    }

    fn draw_row(&mut self) -> DrawRow {
        let seed = self.seed();
        let cohort = self.maybe(|draw| CohortRow {
            root: DrawHash(draw.0.random()),
            members: (0..3).map(|_| (Ordinal(draw.number()), draw.buyer())).collect(),
        });
        DrawRow { seed, commitment: seed.commitment(), cohort, drawn: self.0.random() }
    }
}

fn draw(seed: u64) -> Draw {
    Draw(StdRng::seed_from_u64(seed))
}

fn plans() -> FakePlans {
    FakePlans::of(&[small_plan(3, 5)])
}

#[test]
fn every_fact_comes_back_as_it_was() {
    let (plans, mut draw) = (plans(), draw(1));
    for round in 0..500 {
        for kind in FactKind::ALL {
            let fact = draw.fact(*kind);
            let (stored, body) = encode_fact(&fact);
            assert_eq!(stored, *kind);
            assert_eq!(decode_fact(stored, &body, &plans).unwrap(), fact, "round {round}");
        }
    }
}

#[test]
fn a_snapshot_comes_back_as_it_was() {
    let (plans, mut draw) = (plans(), draw(2));
    for round in 0..200 {
        let snapshot = draw.snapshot();
        assert!(decode_snapshot(&encode_snapshot(&snapshot), &plans).unwrap() == snapshot, "round {round}");
    }
}

/// Cuts, flips and inventions are answered with an error or another fact, never with a panic or a huge allocation.
#[test]
fn bytes_that_were_never_written_do_no_harm() {
    let (plans, mut draw) = (plans(), draw(3));
    for kind in FactKind::ALL {
        let (_, body) = encode_fact(&draw.fact(*kind));
        for end in 0..body.len() {
            assert!(decode_fact(*kind, &body[..end], &plans).is_err(), "{kind:?} cut at {end}");
        }
        let longer = [&body[..], &[0]].concat();
        assert!(decode_fact(*kind, &longer, &plans).is_err(), "{kind:?} with a byte more");
        for _ in 0..2000 {
            let mut bytes = body.clone();
            let at = draw.0.random_range(0..bytes.len());
            bytes[at] = draw.0.random();
            if let Ok(fact) = decode_fact(*kind, &bytes, &plans) {
                assert_eq!(encode_fact(&fact).1, bytes, "{kind:?}: two forms of one fact");
            }
            let mut noise = vec![0; draw.0.random_range(1..80)];
            draw.0.fill(&mut noise[..]);
            noise[0] = 1;
            let _ = decode_fact(*kind, &noise, &plans);
            let _ = decode_snapshot(&noise, &plans);
        }
    }
    let snapshot = encode_snapshot(&draw.snapshot());
    for end in 0..snapshot.len() {
        assert!(decode_snapshot(&snapshot[..end], &plans).is_err(), "a snapshot cut at {end}");
    }
    for _ in 0..20_000 {
        let mut bytes = snapshot.clone();
        let at = draw.0.random_range(0..bytes.len());
        bytes[at] = draw.0.random();
        let _ = decode_snapshot(&bytes, &plans);
    }
}

#[test]
fn an_unknown_version_and_an_unknown_plan_say_so() {
    let mut draw = draw(4);
    let (kind, mut body) = encode_fact(&draw.fact(FactKind::Configured));
    let missing = decode_fact(kind, &body, &FakePlans::default()).unwrap_err();
    assert!(matches!(missing, DecodeError::PlanMissing(_)), "{missing}");
    body[0] = 99;
    let unknown = decode_fact(kind, &body, &plans()).unwrap_err();
    assert_eq!(unknown.to_string(), "a configured of version 99 is not known");
    assert!(decode_snapshot(&[99], &plans()).unwrap_err().to_string().contains("version 99"));
}

#[test]
fn kinds_keep_their_numbers_and_names() {
    // 30 was never written; whatever was given out once is not given out again.
    let numbers = (1..=29).chain(31..=36);
    assert!(FactKind::ALL.iter().map(|kind| kind.number()).eq(numbers));
    for kind in FactKind::ALL {
        assert_eq!(FactKind::from_number(kind.number()), Some(*kind));
        assert_eq!(FactKind::ALL.iter().filter(|other| other.name() == kind.name()).count(), 1);
    }
    assert_eq!(FactKind::from_number(0), None);
    assert_eq!(FactKind::from_number(200), None);
}

#[test]
fn an_entry_is_described_with_all_its_members() {
    let fact = Fact::PaymentFailed {
        payment: PaymentId(Uuid::from_u128(1)),
        reason: PaymentFailure::Declined("no_funds".into()),
    };
    let entry = Entry { seq: Seq(7), epoch: Epoch(2), at: Timestamp::from_secs(1_780_000_000), trace: None, fact };
    let described = describe_entry(EventId(Uuid::from_u128(2)), &entry);
    assert_eq!(
        described,
        serde_json::json!({
            "event": "00000000-0000-0000-0000-000000000002",
            "seq": 7,
            "epoch": 2,
            "at": "2026-05-28T20:26:40Z",
            "kind": "payment_failed",
            "fact": {
                "payment": "00000000-0000-0000-0000-000000000001",
                "reason": { "Declined": { "is": "no_funds" } },
            },
        })
    );
}
