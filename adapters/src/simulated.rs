//! The built-in payment provider, which needs no account and moves no money. It decides by the start of the
//! transaction's name, so its answers are the same after a restart; what it keeps in memory only makes repeats
//! harmless and adds up totals. Must never decide by anything else than the transaction and earlier calls for the
//! same payment.

use onsale_engine::id::PaymentId;
use onsale_engine::money::Amount;
use onsale_engine::ports::{Charge, Later, PaymentProvider, ProviderError};
use onsale_engine::sale::ChargeOutcome;
use parking_lot::Mutex;
use std::collections::{HashMap, HashSet, VecDeque};

/// Payments kept in the ledger; beyond them the oldest is forgotten, and still answered alike.
const LEDGER_KEPT: usize = 1_000_000;
/// What `sim_wrong_amount` takes beyond what was asked.
const WRONG_BY: Amount = Amount(1);

/// The provider `simulated`.
#[derive(Default)]
pub struct Simulated {
    ledger: Mutex<Ledger>,
}

/// Money that went through the provider since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Everything taken.
    pub captured: Amount,
    /// Everything given back.
    pub refunded: Amount,
    /// Payments that took money.
    pub charges: u64,
    /// Payments that gave it back.
    pub refunds: u64,
}

#[derive(Default)]
struct Ledger {
    entries: HashMap<PaymentId, Taken>,
    order: VecDeque<PaymentId>,
    failed_once: HashSet<PaymentId>,
    totals: Totals,
}

/// Money that a payment took.
struct Taken {
    amount: Amount,
    given_back: bool,
}

/// What the start of a transaction's name says.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Script {
    Succeed,
    Decline,
    NeverAnswer,
    FailOnce,
    WrongAmount,
    Unknown,
}

impl Script {
    fn of(transaction: &str) -> Self {
        [
            ("sim_ok", Self::Succeed),
            ("sim_decline", Self::Decline),
            ("sim_timeout", Self::NeverAnswer),
            ("sim_flaky", Self::FailOnce),
            ("sim_wrong_amount", Self::WrongAmount),
        ]
        .into_iter()
        .find(|(start, _)| transaction.starts_with(start))
        .map_or(Self::Unknown, |(_, script)| script)
    }

    /// What this takes of a charge in the end, if it takes anything.
    fn takes(self, asked: Amount) -> Option<Amount> {
        match self {
            Self::Succeed | Self::FailOnce => Some(asked),
            Self::WrongAmount => Some(asked.checked_add(WRONG_BY).unwrap_or(asked)),
            Self::Decline | Self::NeverAnswer | Self::Unknown => None,
        }
    }
}

impl Simulated {
    /// A provider that has taken nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// What it has taken and given back so far.
    #[must_use]
    pub fn totals(&self) -> Totals {
        self.ledger.lock().totals
    }

    /// Settles a charge as its script says; the same payment is charged only once.
    fn settle(&self, charge: &Charge, script: Script) -> ChargeOutcome {
        match script {
            Script::Succeed | Script::FailOnce | Script::WrongAmount => {
                let amount = script.takes(charge.amount).unwrap_or(charge.amount);
                ChargeOutcome::Captured { amount: self.ledger.lock().take(charge.payment, amount) }
            }
            Script::Decline => ChargeOutcome::Declined { reason: "CARD_DECLINED".into() },
            Script::Unknown => ChargeOutcome::Declined { reason: "UNKNOWN_TRANSACTION".into() },
            Script::NeverAnswer => ChargeOutcome::NotCharged,
        }
    }
}

impl Ledger {
    /// Takes money once for each payment; answers what was taken then.
    fn take(&mut self, payment: PaymentId, amount: Amount) -> Amount {
        if let Some(taken) = self.entries.get(&payment) {
            return taken.amount;
        }
        self.failed_once.remove(&payment);
        if self.order.len() >= LEDGER_KEPT
            && let Some(oldest) = self.order.pop_front()
        {
            self.entries.remove(&oldest);
        }
        self.order.push_back(payment);
        self.entries.insert(payment, Taken { amount, given_back: false });
        self.totals.captured = self.totals.captured.checked_add(amount).unwrap_or(self.totals.captured);
        self.totals.charges += 1;
        amount
    }

    fn give_back(&mut self, payment: PaymentId) {
        let Some(taken) = self.entries.get_mut(&payment) else { return };
        if !std::mem::replace(&mut taken.given_back, true) {
            self.totals.refunded = self.totals.refunded.checked_add(taken.amount).unwrap_or(self.totals.refunded);
            self.totals.refunds += 1;
        }
    }

    /// Whether this is the first call for a payment that fails once.
    fn fails_now(&mut self, payment: PaymentId) -> bool {
        if self.failed_once.len() >= LEDGER_KEPT {
            self.failed_once.clear();
        }
        !self.entries.contains_key(&payment) && self.failed_once.insert(payment)
    }
}

impl PaymentProvider for Simulated {
    fn name(&self) -> &'static str {
        "simulated"
    }

    fn charge<'a>(&'a self, charge: &'a Charge) -> Later<'a, Result<ChargeOutcome, ProviderError>> {
        Box::pin(async move {
            let script = Script::of(&charge.transaction);
            match script {
                Script::NeverAnswer => std::future::pending().await,
                Script::FailOnce if self.ledger.lock().fails_now(charge.payment) => {
                    Err(ProviderError("the simulated provider fails the first call of sim_flaky".into()))
                }
                Script::FailOnce | Script::Succeed | Script::Decline | Script::WrongAmount | Script::Unknown => {
                    Ok(self.settle(charge, script))
                }
            }
        })
    }

    /// Answers what [`Self::charge`] decided, or would have: a provider that is asked about a charge it was never
    /// sent would say `NotCharged`, but this one has no memory across restarts and keeps to its script.
    fn find<'a>(&'a self, charge: &'a Charge) -> Later<'a, Result<ChargeOutcome, ProviderError>> {
        Box::pin(async move { Ok(self.settle(charge, Script::of(&charge.transaction))) })
    }

    fn refund<'a>(&'a self, charge: &'a Charge) -> Later<'a, Result<(), ProviderError>> {
        Box::pin(async move {
            let mut ledger = self.ledger.lock();
            // What was taken before a restart is taken into the books first, so that they balance.
            if let Some(amount) = Script::of(&charge.transaction).takes(charge.amount) {
                ledger.take(charge.payment, amount);
            }
            ledger.give_back(charge.payment);
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests;
