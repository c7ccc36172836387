//! A payment provider as bad as they come: it declines, takes another amount, loses requests and answers, takes the money
//! later. It never charges a payment twice, and what it says of a charge it says again.

use super::chance::Chance;
use onsale_engine::fakes::FakeClock;
use onsale_engine::id::PaymentId;
use onsale_engine::money::Amount;
use onsale_engine::ports::{Charge, Clock, Later, PaymentProvider, ProviderError};
use onsale_engine::sale::ChargeOutcome;
use onsale_engine::time::Timestamp;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
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

/// Clones are the same one.
#[derive(Clone)]
pub struct Provider {
    clock: FakeClock,
    books: Arc<Mutex<Books>>,
}

struct Books {
    chance: Chance,
    /// Requests that are on their way, and arrive also when their sender is dead.
    on_the_way: BTreeMap<(Timestamp, u64), (PaymentId, Amount)>,
    serial: u64,
    charges: BTreeMap<PaymentId, Fate>,
    refunded: BTreeMap<PaymentId, u32>,
}

impl Books {
    /// How long something takes on its way: mostly less than a second.
    fn delay(&mut self) -> Duration {
        let long = self.chance.percent(10);
        Duration::from_millis(if long { self.chance.within(300..90_000) } else { self.chance.within(1..300) })
    }

    /// What has arrived by now is charged.
    fn receive(&mut self, now: Timestamp) {
        while let Some(entry) = self.on_the_way.first_entry().filter(|entry| entry.key().0 <= now) {
            let (payment, amount) = entry.remove();
            let fate = match self.chance.below(100) {
                0..45 => Fate::Captured(amount),
                45..57 => Fate::Declined,
                57..65 => Fate::Never,
                65..70 => Fate::Captured(Amount(amount.0 + 1)),
                _ => Fate::Later(now + Duration::from_millis(self.chance.within(1..400_000)), amount),
            };
            self.charges.entry(payment).or_insert(fate);
        }
    }

    /// What became of a charge. That it never was is a promise.
    fn outcome(&mut self, payment: PaymentId, now: Timestamp) -> ChargeOutcome {
        match self.charges.entry(payment).or_insert(Fate::Never) {
            Fate::Captured(amount) => ChargeOutcome::Captured { amount: *amount },
            Fate::Declined => ChargeOutcome::Declined { reason: "no".into() },
            Fate::Never => ChargeOutcome::NotCharged,
            Fate::Later(at, amount) if *at <= now => ChargeOutcome::Captured { amount: *amount },
            Fate::Later(..) => ChargeOutcome::Unknown,
        }
    }
}

impl Provider {
    pub fn new(chance: Chance, clock: &FakeClock) -> Self {
        let books = Books {
            chance,
            on_the_way: BTreeMap::new(),
            serial: 0,
            charges: BTreeMap::new(),
            refunded: BTreeMap::new(),
        };
        Self { clock: clock.clone(), books: Arc::new(Mutex::new(books)) }
    }

    /// A gateway that says "not charged" and takes the money nevertheless.
    pub fn breaks_its_word(&self, payment: PaymentId, amount: Amount) -> Option<ChargeOutcome> {
        let mut books = self.books.lock().unwrap();
        let fate = books.charges.get_mut(&payment).filter(|fate| matches!(fate, Fate::Never | Fate::Declined))?;
        *fate = Fate::Captured(amount);
        Some(ChargeOutcome::Captured { amount })
    }

    /// What it would say of a charge that it knows.
    pub fn says_of(&self, payment: PaymentId) -> Option<ChargeOutcome> {
        let mut books = self.books.lock().unwrap();
        let is_known = books.charges.contains_key(&payment);
        is_known.then(|| books.outcome(payment, self.clock.now())).filter(|says| *says != ChargeOutcome::Unknown)
    }

    /// Everything it has to do with: what was taken by now and what was given back.
    pub fn accounts(&self) -> BTreeMap<PaymentId, Account> {
        let (mut books, now) = (self.books.lock().unwrap(), self.clock.now());
        books.receive(now);
        let account = |(payment, fate): (&PaymentId, &Fate)| {
            let taken = match fate {
                Fate::Captured(amount) => amount.0,
                Fate::Later(at, amount) if *at <= now => amount.0,
                Fate::Later(..) | Fate::Declined | Fate::Never => 0,
            };
            let refunds = books.refunded.get(payment).copied().unwrap_or(0);
            (*payment, Account { taken, given_back: if refunds > 0 { taken } else { 0 }, refunds })
        };
        books.charges.iter().map(account).collect()
    }

    /// The answer to a call, unless it is lost.
    fn answered<T>(&self, answer: impl FnOnce(&mut Books, Timestamp) -> T) -> Result<T, ProviderError> {
        let (mut books, now) = (self.books.lock().unwrap(), self.clock.now());
        books.receive(now);
        let answer = answer(&mut books, now);
        if books.chance.percent(15) { Err(ProviderError("the answer is lost".to_owned())) } else { Ok(answer) }
    }
}

impl PaymentProvider for Provider {
    fn name(&self) -> &'static str {
        "simulation"
    }

    fn charge<'a>(&'a self, charge: &'a Charge) -> Later<'a, Result<ChargeOutcome, ProviderError>> {
        Box::pin(async move {
            let delay = {
                let (mut books, now) = (self.books.lock().unwrap(), self.clock.now());
                let delay = books.delay();
                books.serial += 1;
                let key = (now + delay, books.serial);
                if !books.chance.percent(5) {
                    books.on_the_way.insert(key, (charge.payment, charge.amount));
                }
                delay
            };
            // Time is the world's: it passes when the driver says so.
            tokio::time::sleep(delay).await;
            self.answered(|books, now| books.outcome(charge.payment, now))
        })
    }

    fn find<'a>(&'a self, charge: &'a Charge) -> Later<'a, Result<ChargeOutcome, ProviderError>> {
        Box::pin(async move {
            let delay = self.books.lock().unwrap().delay();
            // Time is the world's: it passes when the driver says so.
            tokio::time::sleep(delay).await;
            self.answered(|books, now| books.outcome(charge.payment, now))
        })
    }

    /// Gives everything back; asking again gives nothing more.
    fn refund<'a>(&'a self, charge: &'a Charge) -> Later<'a, Result<(), ProviderError>> {
        Box::pin(async move {
            let delay = self.books.lock().unwrap().delay();
            // Time is the world's: it passes when the driver says so.
            tokio::time::sleep(delay).await;
            self.answered(|books, _| *books.refunded.entry(charge.payment).or_default() += 1)
        })
    }
}
