//! What clients ask for: sensible things mostly, nonsense at times, and whatever they have asked before once more.

use super::chance::Chance;
use onsale_engine::id::{BuyerId, CategoryIndex, PaymentId, ReservationId, SeatIndex, Slot};
use onsale_engine::money::Amount;
use onsale_engine::sale::{
    ChangeHold, Command, ConfirmPayment, Hold, OpenPayment, OperatorCancel, PaymentStatus, PlaceStatus, Postpone,
    RequestKey, ReservationStatus, Sale, SeatBlocking, Seats, Selection, SteeringChange,
};
use onsale_engine::time::Timestamp;
use std::time::Duration;
use uuid::Uuid;

pub const BUYERS: u64 = 7;

pub fn buyer(number: u64) -> BuyerId {
    BuyerId(Uuid::from_u128(u128::from(number) + 1))
}

pub fn admin() -> BuyerId {
    BuyerId(Uuid::from_u128(0xad))
}

/// What clients know and have asked.
#[derive(Default)]
pub struct Clients {
    pub holds: Vec<(ReservationId, BuyerId)>,
    pub payments: Vec<PaymentId>,
    asked: Vec<Command>,
    serial: u128,
}

impl Clients {
    /// Those of one event, whose ids nobody else uses.
    pub fn of(event: u64) -> Self {
        Self { serial: u128::from(event) << 24, ..Self::default() }
    }

    fn uuid(&mut self) -> Uuid {
        self.serial += 1;
        Uuid::from_u128(0xffff_0000_0000 + self.serial)
    }

    fn key(&mut self, buyer: BuyerId, route: u128, chance: &mut Chance) -> Option<RequestKey> {
        let fresh = self.uuid().as_u128();
        chance
            .percent(50)
            .then_some(RequestKey { scope: (buyer.0.as_u128() << 100) | (route << 90) | fresh, body: fresh })
    }

    /// The next request.
    pub fn ask(&mut self, sale: &Sale, now: Timestamp, chance: &mut Chance) -> Command {
        if chance.percent(20)
            && let Some(before) = chance.recent(&self.asked).cloned()
        {
            return self.again(before);
        }
        let who = buyer(chance.below(BUYERS));
        let sensible = if chance.percent(75) { self.next_step(who, sale, now, chance) } else { None };
        let command = sensible.unwrap_or_else(|| self.nonsense(who, sale, now, chance));
        self.asked.push(command.clone());
        command
    }

    /// A retry: the server gives it new ids, the client's key is the same.
    fn again(&mut self, before: Command) -> Command {
        match before {
            Command::Hold(hold) => {
                let reservation = ReservationId(self.uuid());
                self.holds.push((reservation, hold.buyer));
                Command::Hold(Hold { reservation, ..hold })
            }
            Command::OpenPayment(open) => {
                let payment = PaymentId(self.uuid());
                self.payments.push(payment);
                Command::OpenPayment(OpenPayment { payment, ..open })
            }
            other => other,
        }
    }

    /// What a buyer does next who wants tickets: enter, hold, open a payment, confirm it.
    fn next_step(&mut self, who: BuyerId, sale: &Sale, now: Timestamp, chance: &mut Chance) -> Option<Command> {
        let pending = |(id, buyer): &&(ReservationId, BuyerId)| {
            let status = sale.reservation(*id).map(|view| view.status);
            *buyer == who && status == Some(ReservationStatus::Pending)
        };
        if let Some((reservation, _)) = self.holds.iter().rev().find(pending).copied() {
            return match sale.pending_payment(reservation) {
                None => Some(self.open(who, reservation, sale, chance)),
                Some(payment) if payment.status == PaymentStatus::Opened => {
                    Some(self.confirm(payment.id, sale, chance))
                }
                Some(_) => None,
            };
        }
        match sale.place(who, now).map(|place| place.status) {
            Some(PlaceStatus::Active { .. }) => Some(self.hold(who, sale, now, chance)),
            Some(PlaceStatus::Waiting { .. } | PlaceStatus::PreQueue { .. }) => None,
            Some(PlaceStatus::Expired) | None => Some(Command::Enter { buyer: who }),
        }
    }

    fn open(&mut self, buyer: BuyerId, reservation: ReservationId, sale: &Sale, chance: &mut Chance) -> Command {
        let amount = sale.reservation(reservation).map_or(Amount(1), |view| view.amount);
        let (payment, key) = (PaymentId(self.uuid()), self.key(buyer, 2, chance));
        self.payments.push(payment);
        Command::OpenPayment(OpenPayment { payment, buyer, reservation, amount, key })
    }

    fn nonsense(&mut self, who: BuyerId, sale: &Sale, now: Timestamp, chance: &mut Chance) -> Command {
        match chance.below(100) {
            0..26 => self.hold(who, sale, now, chance),
            26..34 => {
                let (reservation, buyer) = self.somebodys(sale, chance);
                Command::ChangeHold(ChangeHold { buyer, reservation, seats: seats(chance) })
            }
            34..39 => {
                let (reservation, buyer) = self.somebodys(sale, chance);
                Command::ReleaseHold { buyer, reservation }
            }
            39..45 => {
                let (reservation, buyer) = self.somebodys(sale, chance);
                if chance.percent(30) {
                    let (by, reason, only_paid) = (admin(), "asked for".into(), true);
                    return Command::CancelByOperator(OperatorCancel { reservation, by, reason, only_paid });
                }
                Command::CancelReservation { buyer, reservation }
            }
            45..60 => {
                let (reservation, buyer) = self.somebodys(sale, chance);
                self.open(buyer, reservation, sale, chance)
            }
            60..80 => {
                let any = chance.percent(10);
                let made: Vec<_> =
                    self.payments.iter().copied().filter(|id| any || sale.payment(*id).is_some()).collect();
                let payment = chance.recent(&made).copied().unwrap_or(PaymentId(Uuid::nil()));
                self.confirm(payment, sale, chance)
            }
            80..91 => Command::Enter { buyer: who },
            91..93 => Command::Leave { buyer: who },
            93 => Command::ExpireAbsent { buyer: who },
            94 => Command::BlockSeats { change: Box::new(blocking(chance)), by: admin() },
            95..99 => postponement(sale, now, chance),
            _ => Command::Steer { change: steering(chance), by: admin() },
        }
    }

    fn hold(&mut self, buyer: BuyerId, sale: &Sale, now: Timestamp, chance: &mut Chance) -> Command {
        let reservation = ReservationId(self.uuid());
        self.holds.push((reservation, buyer));
        let selection = if chance.percent(30) {
            let category = CategoryIndex(chance.below(2) as u16);
            Selection::Best { category, quantity: chance.within(1..4) as u16 }
        } else {
            Selection::These(seats(chance))
        };
        let slot = match sale.place(buyer, now).map(|place| place.status) {
            Some(PlaceStatus::Active { slot, .. }) => slot,
            _ => Some(Slot(1)),
        };
        let key = self.key(buyer, 1, chance);
        Command::Hold(Hold { reservation, buyer, selection, slot, key })
    }

    fn confirm(&mut self, payment: PaymentId, sale: &Sale, chance: &mut Chance) -> Command {
        let view = sale.payment(payment);
        let buyer = view.as_ref().map_or(buyer(0), |view| view.buyer);
        let (reservation, amount) =
            view.map_or((ReservationId(Uuid::nil()), Amount(0)), |view| (view.reservation, view.amount));
        let key = self.key(buyer, 3, chance);
        Command::ConfirmPayment(ConfirmPayment { buyer, payment, reservation, amount, transaction: "t".into(), key })
    }

    /// A reservation that was answered, mostly.
    fn somebodys(&mut self, sale: &Sale, chance: &mut Chance) -> (ReservationId, BuyerId) {
        let any = chance.percent(5);
        let made: Vec<_> =
            self.holds.iter().copied().filter(|(id, _)| any || sale.reservation(*id).is_some()).collect();
        let (reservation, owner) = chance.recent(&made).copied().unwrap_or((ReservationId(Uuid::nil()), buyer(0)));
        (reservation, if chance.percent(3) { buyer(BUYERS) } else { owner })
    }
}

/// Some seats side by side, of a hall of 24.
fn seats(chance: &mut Chance) -> Seats {
    let first = chance.below(22) as u32;
    (first..first + chance.within(1..4) as u32).map(SeatIndex).collect()
}

/// Some seats out of the sale, and others back.
fn blocking(chance: &mut Chance) -> SeatBlocking {
    let block = if chance.percent(60) { seats(chance) } else { Seats::new() };
    let unblock = if block.is_empty() || chance.percent(30) { (0..24).map(SeatIndex).collect() } else { Seats::new() };
    let unblock = unblock.iter().copied().filter(|seat: &SeatIndex| !block.contains(seat)).collect();
    SeatBlocking { block: block.iter().copied().collect(), unblock, reason: "a camera".into() }
}

/// Times that are drawn from a few, so that the same ones come again; the sale goes on as long as it did.
fn postponement(sale: &Sale, now: Timestamp, chance: &mut Chance) -> Command {
    let (hour, days) = (Duration::from_secs(3600), Duration::from_secs(86_400) * chance.within(2..5) as u32);
    let (midnight, sale_ends_at) =
        (Timestamp::from_secs(1_900_000_000) + days, sale.config().map(|has| has.sale_ends_at));
    let starts_at = midnight + 19 * hour;
    Command::Postpone(Box::new(Postpone {
        starts_at,
        ends_at: starts_at + 3 * hour,
        sale_ends_at: sale_ends_at.unwrap_or(now),
        midnight,
        cancellable_for: hour,
        by: admin(),
        reason: "flood".into(),
    }))
}

fn steering(chance: &mut Chance) -> SteeringChange {
    let none = SteeringChange::default();
    match chance.below(6) {
        0 => SteeringChange { rate_per_second: Some(chance.within(1..6) as u32), ..none },
        1 => SteeringChange { active_limit: Some(chance.percent(70).then(|| chance.within(1..5))), ..none },
        2 => SteeringChange { required: Some(chance.percent(80)), ..none },
        3 => SteeringChange { paused: Some(chance.percent(30)), ..none },
        4 => SteeringChange { closed: Some(chance.percent(30)), ..none },
        _ => SteeringChange { message: Some(Some("soon".into())), ..none },
    }
}
