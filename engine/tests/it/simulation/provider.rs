//! A payment provider as bad as they come: it declines, takes another amount, loses its answers, takes the money
//! later, answers twice. It never charges a payment twice, and what it says of a charge it says again.

use super::chance::Chance;
use onsale_engine::id::PaymentId;
use onsale_engine::money::Amount;
use onsale_engine::sale::ChargeOutcome;
use onsale_engine::time::Timestamp;
use std::collections::BTreeMap;
use std::time::Duration;

/// What will have become of a charge.
#[derive(Clone, Debug)]
enum Fate {
    Captured(Amount),
    Declined,
    /// Nothing will be taken.
    Never,
    /// The money is taken at this time, and until then nobody knows.
    Later(Timestamp, Amount),
}

/// What it took and gave back.
#[derive(Clone, Debug, Default)]
pub struct Account {
    pub taken: i64,
    pub given_back: i64,
    pub refunds: u32,
}

#[derive(Default)]
pub struct Provider {
    charges: BTreeMap<PaymentId, Fate>,
    pub refunded: BTreeMap<PaymentId, u32>,
}

impl Provider {
    /// Charges; the answer, unless it is lost.
    pub fn charge(&mut self, payment: PaymentId, amount: Amount, now: Timestamp, chance: &mut Chance) -> ChargeOutcome {
        let fate = match chance.below(100) {
            0..45 => Fate::Captured(amount),
            45..57 => Fate::Declined,
            57..65 => Fate::Never,
            65..70 => Fate::Captured(Amount(amount.0 + 1)),
            _ => Fate::Later(now + Duration::from_millis(chance.within(1..400_000)), amount),
        };
        let fate = self.charges.entry(payment).or_insert(fate).clone();
        let lost = chance.percent(15);
        match fate {
            Fate::Never => ChargeOutcome::Unknown,
            _ if lost => ChargeOutcome::Unknown,
            _ => self.find(payment, now),
        }
    }

    /// What became of a charge. That it never was is a promise.
    pub fn find(&mut self, payment: PaymentId, now: Timestamp) -> ChargeOutcome {
        match self.charges.entry(payment).or_insert(Fate::Never) {
            Fate::Captured(amount) => ChargeOutcome::Captured { amount: *amount },
            Fate::Declined => ChargeOutcome::Declined { reason: "no".into() },
            Fate::Never => ChargeOutcome::NotCharged,
            Fate::Later(at, amount) if *at <= now => ChargeOutcome::Captured { amount: *amount },
            Fate::Later(..) => ChargeOutcome::Unknown,
        }
    }

    /// A gateway that says "not charged" and takes the money nevertheless.
    pub fn breaks_its_word(&mut self, payment: PaymentId, amount: Amount) -> Option<ChargeOutcome> {
        let fate = self.charges.get_mut(&payment).filter(|fate| matches!(fate, Fate::Never | Fate::Declined))?;
        *fate = Fate::Captured(amount);
        Some(ChargeOutcome::Captured { amount })
    }

    /// Gives everything back; asking again gives nothing more.
    pub fn refund(&mut self, payment: PaymentId) {
        *self.refunded.entry(payment).or_default() += 1;
    }

    /// Everything it has to do with: what was taken by `now` and what was given back.
    pub fn accounts(&self, now: Timestamp) -> BTreeMap<PaymentId, Account> {
        let account = |(payment, fate): (&PaymentId, &Fate)| {
            let taken = match fate {
                Fate::Captured(amount) => amount.0,
                Fate::Later(at, amount) if *at <= now => amount.0,
                Fate::Later(..) | Fate::Declined | Fate::Never => 0,
            };
            let refunds = self.refunded.get(payment).copied().unwrap_or(0);
            (*payment, Account { taken, given_back: if refunds > 0 { taken } else { 0 }, refunds })
        };
        self.charges.iter().map(account).collect()
    }
}
