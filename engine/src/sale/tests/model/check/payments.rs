//! Payments and the provider's outcomes, given to both sales.

use super::*;

impl Pair {
    pub(super) fn pay(&mut self, action: &Action) {
        match action {
            Action::Open { ago, wrong, key } => {
                let (reservation, buyer) = self.pick_reservation(*ago, false);
                let amount = self.model.reservations.get(&reservation).map_or(0, |r| r.amount) + i64::from(*wrong);
                let (payment, key) = (PaymentId(self.uuid()), Self::key(buyer, 2, *key));
                let open = OpenPayment { payment, buyer, reservation, amount: Amount(amount), key };
                let expected = self.model.may_open(&open, self.now);
                let again = expected == Ok(true);
                if self.same(&Command::OpenPayment(open.clone()), expected.map(|_| ())) && !again {
                    let answered = self.model.open(&open, self.now);
                    if answered == payment {
                        self.payments.push(payment);
                    }
                }
            }
            Action::Confirm { ago, wrong, key, other } => {
                let payment = Self::back(&self.payments, *ago).unwrap_or(PaymentId(self.unknown_id()));
                let known = self.model.payments.get(&payment).cloned();
                let reservation = known.as_ref().map_or_else(|| self.pick_reservation(0, false).0, |p| p.reservation);
                let owner = self.model.reservations.get(&reservation).map_or(buyer(0), |r| r.buyer);
                let amount = Amount(known.map_or(0, |p| p.amount) + i64::from(*wrong));
                let (transaction, key) = (if *other { "u" } else { "t" }.into(), Self::key(owner, 3, *key));
                let confirm = ConfirmPayment { buyer: owner, payment, reservation, amount, transaction, key };
                let expected = self.model.may_confirm(&confirm, self.now);
                let again = expected == Ok(true);
                if self.same(&Command::ConfirmPayment(confirm.clone()), expected.map(|_| ())) && !again {
                    self.model.confirm(&confirm, self.now);
                }
            }
            Action::Settle { ago, outcome } => self.settle(*ago, *outcome),
            Action::SettleRefund { ago } => {
                let payment = Self::back(&self.payments, *ago).unwrap_or(UNKNOWN);
                self.same(&Command::SettleRefund { payment }, Ok(()));
                self.model.settle_refund(payment);
            }
            other => unreachable!("{other:?}"),
        }
    }

    pub(super) fn settle(&mut self, ago: u8, outcome: u8) {
        let payment = Self::back(&self.payments, ago).unwrap_or(UNKNOWN);
        let amount = self.model.payments.get(&payment).map_or(7, |payment| payment.amount);
        let outcome = match outcome {
            0 => ChargeOutcome::Declined { reason: "no".into() },
            1 => ChargeOutcome::NotCharged,
            2 => ChargeOutcome::Unknown,
            3 => ChargeOutcome::Captured { amount: Amount(amount + 1) },
            4 => ChargeOutcome::Captured { amount: Amount(0) },
            _ => ChargeOutcome::Captured { amount: Amount(amount) },
        };
        let command = Command::SettleCharge { payment, outcome: outcome.clone() };
        if payment == UNKNOWN {
            let expected = match outcome {
                ChargeOutcome::Captured { amount } => {
                    self.model.is_unmatched(payment, MoneyMoved::Captured { amount });
                    Ok(())
                }
                _ => Err("PaymentNotFound"),
            };
            self.same(&command, expected);
            return;
        }
        let facts = self.decide(&command).unwrap();
        let sold = facts.iter().find_map(|fact| match fact {
            Fact::ReservationConfirmed { seats, .. } => Some(seats.to_vec()),
            _ => None,
        });
        self.model.settle(payment, &outcome, sold);
        self.happen(facts);
    }
}
