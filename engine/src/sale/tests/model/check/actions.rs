//! Random actions and rules: what a check is made of.

use super::BUYERS;
use crate::id::SeatIndex;
use crate::money::Amount;
use crate::sale::tests::stage::rules;
use crate::sale::{SaleConfig, SteeringChange};
use crate::time::Timestamp;
use proptest::prelude::*;
use std::time::Duration;

/// An action of a buyer or an operator, or passing time; with reservations and payments named by how long ago they were made.
#[derive(Clone, Debug)]
pub(super) enum Action {
    Hold {
        buyer: u8,
        seats: Vec<u8>,
        key: Option<(u8, u8)>,
        token: bool,
    },
    HoldBlock {
        buyer: u8,
        first: u8,
        size: u8,
    },
    HoldBest {
        buyer: u8,
        category: u8,
        quantity: u8,
    },
    Change {
        ago: u8,
        seats: Vec<u8>,
        stranger: bool,
    },
    ChangeBlock {
        ago: u8,
        first: u8,
        size: u8,
    },
    Release {
        ago: u8,
        stranger: bool,
    },
    Cancel {
        ago: u8,
        stranger: bool,
    },
    /// An administrator ends a reservation.
    OperatorCancel {
        ago: u8,
        only_paid: bool,
    },
    Open {
        ago: u8,
        wrong: bool,
        key: Option<(u8, u8)>,
    },
    Confirm {
        ago: u8,
        wrong: bool,
        key: Option<(u8, u8)>,
        other: bool,
    },
    /// Tries one card after the other.
    Declined {
        ago: u8,
        times: u8,
    },
    Settle {
        ago: u8,
        outcome: u8,
    },
    SettleRefund {
        ago: u8,
    },
    Enter {
        buyer: u8,
    },
    Leave {
        buyer: u8,
    },
    Absent {
        buyer: u8,
    },
    Steer(SteeringChange),
    Block {
        block: Vec<u8>,
        unblock: Vec<u8>,
    },
    CancelSale,
    Wait {
        millis: u64,
        timers: bool,
    },
    Tick,
    Restart,
}

pub(super) fn seats() -> impl Strategy<Value = Vec<u8>> {
    let seat = prop_oneof![40 => 0..24_u8, 1 => Just(200)];
    prop::collection::vec(seat, 0..5).prop_map(|mut seats| {
        let mut seen = Vec::new();
        seats.retain(|seat| {
            !seen.contains(seat) && {
                seen.push(*seat);
                true
            }
        });
        seats
    })
}

pub(super) fn key() -> impl Strategy<Value = Option<(u8, u8)>> {
    prop_oneof![3 => Just(None), 1 => (0..3_u8, 0..2_u8).prop_map(Some)]
}

pub(super) fn steer() -> impl Strategy<Value = SteeringChange> {
    let none = SteeringChange::default;
    prop_oneof![
        (1..5_u32).prop_map(move |rate| SteeringChange { rate_per_second: Some(rate), ..none() }),
        prop::option::of(0..4_u64).prop_map(move |limit| SteeringChange { active_limit: Some(limit), ..none() }),
        any::<bool>().prop_map(move |on| SteeringChange { required: Some(on), ..none() }),
        any::<bool>().prop_map(move |on| SteeringChange { paused: Some(on), ..none() }),
        any::<bool>().prop_map(move |on| SteeringChange { closed: Some(on), ..none() }),
    ]
}

pub(super) fn wait() -> impl Strategy<Value = Action> {
    let millis = prop_oneof![
        6 => 0..2_000_u64,
        6 => 2_000..40_000_u64,
        3 => 40_000..400_000_u64,
        1 => 400_000..2_000_000_u64,
        1 => 80_000_000..100_000_000_u64
    ];
    (millis, prop::bool::weighted(0.7)).prop_map(|(millis, timers)| Action::Wait { millis, timers })
}

pub(super) fn action() -> impl Strategy<Value = Action> {
    let who = || 0..BUYERS as u8;
    let stranger = || prop::bool::weighted(0.1);
    prop_oneof![
        8 => (who(), seats(), key(), prop::bool::weighted(0.9))
            .prop_map(|(buyer, seats, key, token)| Action::Hold { buyer, seats, key, token }),
        8 => (who(), 0..24_u8, 1..4_u8).prop_map(|(buyer, first, size)| Action::HoldBlock { buyer, first, size }),
        6 => (who(), 0..2_u8, 0..5_u8).prop_map(|(buyer, category, quantity)| Action::HoldBest { buyer, category, quantity }),
        4 => (0..3_u8, seats(), stranger()).prop_map(|(ago, seats, stranger)| Action::Change { ago, seats, stranger }),
        3 => (0..3_u8, 0..24_u8, 1..4_u8).prop_map(|(ago, first, size)| Action::ChangeBlock { ago, first, size }),
        4 => (0..6_u8, stranger()).prop_map(|(ago, stranger)| Action::Release { ago, stranger }),
        3 => (0..6_u8, stranger()).prop_map(|(ago, stranger)| Action::Cancel { ago, stranger }),
        2 => (0..6_u8, any::<bool>()).prop_map(|(ago, only_paid)| Action::OperatorCancel { ago, only_paid }),
        10 => (0..3_u8, stranger(), key()).prop_map(|(ago, wrong, key)| Action::Open { ago, wrong, key }),
        10 => (0..2_u8, stranger(), key(), stranger())
            .prop_map(|(ago, wrong, key, other)| Action::Confirm { ago, wrong, key, other }),
        2 => (0..2_u8, 1..4_u8).prop_map(|(ago, times)| Action::Declined { ago, times }),
        10 => (0..3_u8, 0..8_u8).prop_map(|(ago, outcome)| Action::Settle { ago, outcome }),
        2 => (0..4_u8).prop_map(|ago| Action::SettleRefund { ago }),
        8 => who().prop_map(|buyer| Action::Enter { buyer }),
        2 => who().prop_map(|buyer| Action::Leave { buyer }),
        1 => who().prop_map(|buyer| Action::Absent { buyer }),
        2 => steer().prop_map(Action::Steer),
        2 => (seats(), seats()).prop_map(|(block, mut unblock)| {
            unblock.retain(|seat| !block.contains(seat));
            Action::Block { block, unblock }
        }),
        1 => prop_oneof![9 => Just(Action::Tick), 1 => Just(Action::CancelSale)],
        14 => wait(),
        4 => Just(Action::Tick),
        1 => Just(Action::Restart),
    ]
}

prop_compose! {
    pub(super) fn sale_rules()(
        no_orphans in any::<bool>(), required in any::<bool>(), rate in 1..4_u32, limit in prop::option::of(1..4_u64),
        capacity in 2..7_u64, max in 2..5_u16, hold in 30..400_u64, token in 30..700_u64, opens in 0..100_i64,
        minutes in 5..200_i64, room in prop::option::of(0..50_i64), made in 1..8_u16,
        unpriced in prop_oneof![4 => Just(None), 1 => (0..2_usize).prop_map(Some)],
        blocked in prop_oneof![2 => Just(Vec::new()), 1 => seats()],
        is_free in prop::bool::weighted(0.3),
    ) -> SaleConfig {
        let start = crate::sale::tests::stage::time("10:00:00");
        let after = |seconds: i64| Timestamp(start.0 + seconds * 1_000_000);
        let mut config = rules(2);
        (config.no_orphans, config.max_seats_per_buyer) = (no_orphans, max);
        if is_free {
            config.prices[0] = Some(Amount(0));
        }
        (config.sale_starts_at, config.sale_ends_at) = (after(opens), after(opens + minutes * 60));
        config.cancellation_closes_at = after(opens + minutes * 90);
        config.hold = Duration::from_secs(hold);
        config.admission.required = required;
        config.admission.rate_per_second = rate;
        config.admission.active_limit = limit;
        config.admission.capacity = capacity;
        config.admission.token = Duration::from_secs(token);
        config.admission.room_opens_at = room.map(after);
        config.admission.max_holds_per_slot = made;
        unpriced.iter().for_each(|category| config.prices[*category] = None);
        let mut blocked: Vec<_> = blocked.iter().filter(|seat| **seat < 23).map(|seat| SeatIndex(u32::from(*seat))).collect();
        blocked.sort_unstable();
        config.blocked = blocked.into();
        config
    }
}
