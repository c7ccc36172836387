//! Commands of buyers and operators, given to both sales; what the contract leaves open is checked as a choice.

use super::*;

impl Pair {
    pub(super) fn act(&mut self, action: &Action) {
        match action {
            Action::Hold { buyer: who, seats, key, token } => {
                let seats = seats.iter().map(|seat| SeatIndex(u32::from(*seat))).collect();
                self.hold(*who, Selection::These(seats), *key, *token);
            }
            Action::HoldBlock { buyer: who, first, size } => {
                let seats = (*first..*first + *size).map(|seat| SeatIndex(u32::from(seat))).collect();
                self.hold(*who, Selection::These(seats), None, true);
            }
            Action::HoldBest { buyer: who, category, quantity } => {
                let category = CategoryIndex(u16::from(*category));
                self.hold(*who, Selection::best(category, u16::from(*quantity)), None, true);
            }
            Action::Change { ago, seats, stranger } => {
                let seats = seats.iter().map(|seat| SeatIndex(u32::from(*seat))).collect();
                self.change(*ago, seats, *stranger);
            }
            Action::ChangeBlock { ago, first, size } => {
                let seats = (*first..*first + *size).map(|seat| SeatIndex(u32::from(seat))).collect();
                self.change(*ago, seats, false);
            }
            Action::Release { ago, stranger } => {
                let (reservation, buyer) = self.pick_reservation(*ago, *stranger);
                let expected = self.model.may_release(buyer, reservation);
                if self.same(&Command::ReleaseHold { buyer, reservation }, expected)
                    && self.model.reservations[&reservation].status == ReservationStatus::Pending
                {
                    self.model.end(reservation, ReservationStatus::Cancelled, PaymentFailure::HoldEnded);
                }
            }
            Action::Cancel { ago, stranger } => {
                let (reservation, buyer) = self.pick_reservation(*ago, *stranger);
                let expected = self.model.may_cancel(buyer, reservation, self.now);
                if self.same(&Command::CancelReservation { buyer, reservation }, expected) {
                    self.model.refund(reservation, RefundReason::BuyerCancelled);
                }
            }
            Action::OperatorCancel { ago, only_paid } => {
                let (reservation, _) = self.pick_reservation(*ago, false);
                let status = self.model.reservations.get(&reservation).map(|reservation| reservation.status);
                // Whether one that has ended was ever paid is for the stories to show.
                let only_paid = *only_paid && status.is_some_and(|status| status == ReservationStatus::Pending);
                let expected = self.model.may_end(reservation, only_paid);
                let cancel = OperatorCancel { reservation, by: admin(), reason: "asked for".into(), only_paid };
                if self.same(&Command::CancelByOperator(cancel), expected) {
                    match status {
                        Some(ReservationStatus::Confirmed) => {
                            self.model.refund(reservation, RefundReason::OperatorCancelled);
                        }
                        Some(ReservationStatus::Pending) => {
                            self.model.end(reservation, ReservationStatus::Cancelled, PaymentFailure::HoldEnded);
                        }
                        Some(ReservationStatus::Cancelled | ReservationStatus::Expired) | None => {}
                    }
                }
            }
            Action::Declined { ago, times } => {
                for _ in 0..*times {
                    self.pay(&Action::Open { ago: *ago, wrong: false, key: None });
                    self.pay(&Action::Confirm { ago: 0, wrong: false, key: None, other: false });
                    self.settle(0, 0);
                }
            }
            Action::Open { .. } | Action::Confirm { .. } | Action::Settle { .. } | Action::SettleRefund { .. } => {
                self.pay(action)
            }
            Action::Enter { buyer: who } => {
                let buyer = buyer(u128::from(*who));
                let expected = self.model.may_enter(buyer, self.now);
                let stands = expected == Ok(true);
                if self.same(&Command::Enter { buyer }, expected.map(|_| ())) && !stands {
                    self.model.join(buyer);
                }
            }
            Action::Leave { buyer: who } => {
                let buyer = buyer(u128::from(*who));
                self.same(&Command::Leave { buyer }, Ok(()));
                self.model.places.remove(&buyer);
            }
            Action::Absent { buyer: who } => {
                let buyer = buyer(u128::from(*who));
                self.same(&Command::ExpireAbsent { buyer }, Ok(()));
                if let Some(place @ Place::Waiting { .. }) = self.model.places.get_mut(&buyer) {
                    *place = Place::Expired { at: self.now };
                }
            }
            Action::Steer(change) => {
                let expected = if self.model.cancelled { Err("SaleClosed") } else { Ok(()) };
                if self.same(&Command::Steer { change: change.clone(), by: admin() }, expected) {
                    self.model.steering = self.model.steering.after(change);
                }
            }
            Action::Block { block, unblock } => {
                let seats = |seats: &[u8]| seats.iter().map(|seat| SeatIndex(u32::from(*seat))).collect();
                let change = SeatBlocking { block: seats(block), unblock: seats(unblock), reason: "a camera".into() };
                let expected = self.model.may_block(&change);
                if self.same(&Command::BlockSeats { change: Box::new(change.clone()), by: admin() }, expected) {
                    self.model.block(&change);
                }
            }
            Action::CancelSale => {
                self.same(&Command::CancelSale { by: admin() }, Ok(()));
                self.model.cancelled = true;
            }
            Action::Wait { .. } | Action::Tick | Action::Restart => unreachable!("no commands"),
        }
        self.model.note(self.now);
    }

    /// Submits the command; both must answer the same. Returns whether it was accepted.
    pub(super) fn same(&mut self, command: &Command, expected: Result<(), No>) -> bool {
        let decided = self.decide(command);
        let kind = decided.as_ref().map(|_| ()).map_err(name);
        assert_eq!(kind, expected.map_err(str::to_owned), "{command:?} at {:?}", self.now);
        decided.map(|facts| self.happen(facts)).is_ok()
    }

    pub(super) fn pick_reservation(&mut self, ago: u8, stranger: bool) -> (ReservationId, BuyerId) {
        let Some(id) = Self::back(&self.reservations, ago) else {
            return (ReservationId(self.unknown_id()), buyer(0));
        };
        let owner = self.model.reservations[&id].buyer;
        (id, if stranger { buyer(77) } else { owner })
    }

    pub(super) fn hold(&mut self, who: u8, selection: Selection, key: Option<(u8, u8)>, token: bool) {
        let buyer = buyer(u128::from(who));
        let slot = match self.model.places.get(&buyer) {
            Some(Place::Active { slot, .. }) if token => Some(*slot),
            _ => (!token).then_some(Slot(1)),
        };
        let hold =
            Hold { reservation: ReservationId(self.uuid()), buyer, selection, slot, key: Self::key(buyer, 1, key) };
        let expected = self.model.may_hold(&hold, self.now);
        let command = Command::Hold(hold.clone());
        let decided = self.decide(&command);
        let again = expected == Ok(true);
        let expected = expected.and_then(|_| self.best_exists(&hold, again));
        assert_eq!(decided.as_ref().map(|_| ()).map_err(name), expected.map_err(str::to_owned), "{hold:?}");
        match decided {
            Ok(facts) if again => assert!(facts.is_empty()),
            Ok(facts) => {
                let Some(Fact::SeatsHeld { seats, .. }) = facts.last() else { panic!("{facts:?}") };
                self.check_choice(&hold.selection, seats);
                self.model.hold(&hold, seats.to_vec(), self.now);
                self.reservations.push(hold.reservation);
                self.happen(facts);
            }
            Err(Rejection::SeatUnavailable { reason, taken, longest_block, alternative }) => {
                self.check_unavailable(&hold.selection, (reason, &taken, longest_block), alternative.as_ref());
                self.check_alternative(&hold, alternative);
            }
            Err(Rejection::OrphanSeat { alternative, .. }) => self.check_alternative(&hold, alternative),
            Err(_) => {}
        }
    }

    pub(super) fn best_exists(&self, hold: &Hold, again: bool) -> Result<(), No> {
        match &hold.selection {
            Selection::Best { category, quantity, .. } if !again => {
                let letter = ['V', 'R'][category.at()];
                let none = self.model.blocks(letter, usize::from(*quantity)).is_empty();
                if none { Err("SeatUnavailable") } else { Ok(()) }
            }
            _ => Ok(()),
        }
    }

    /// Best seats are a block of their category that leaves no single seat if one does.
    pub(super) fn check_choice(&self, selection: &Selection, seats: &[SeatIndex]) {
        match selection {
            Selection::These(asked) => assert_eq!(asked.as_slice(), seats),
            Selection::Best { category, quantity, .. } => {
                let blocks = self.model.blocks(['V', 'R'][category.at()], usize::from(*quantity));
                assert!(blocks.iter().any(|block| block == seats), "{seats:?} is no free block");
                let clean = |block: &[SeatIndex]| self.model.orphans(block, &[]).is_empty();
                let could = blocks.iter().any(|block| clean(block));
                assert!(!self.model.rules.no_orphans || !could || clean(seats), "{seats:?} leaves one");
            }
        }
    }

    /// A refusal says why, how many stand together, and names others if there are any.
    pub(super) fn check_unavailable(
        &self,
        selection: &Selection,
        (reason, taken, longest): (Unavailable, &Seats, u16),
        alternative: Option<&Seats>,
    ) {
        let model = &self.model;
        let (letter, size, expected) = match selection {
            Selection::These(seats) => {
                assert!(taken.iter().eq(seats.iter().filter(|seat| model.is_taken(**seat))));
                let is_left = ['V', 'R'].iter().any(|letter| model.free_of(*letter) > 0);
                let reason = if is_left { Unavailable::Taken } else { Unavailable::SoldOut };
                (model.seats[seats[0].at()].letter, seats.len(), reason)
            }
            Selection::Best { category, quantity, .. } => {
                assert_eq!(*taken, Seats::new());
                let letter = ['V', 'R'][category.at()];
                let reason = if model.free_of(letter) > 0 { Unavailable::NoBlock } else { Unavailable::SoldOut };
                (letter, usize::from(*quantity), reason)
            }
        };
        assert_eq!(reason, expected);
        let has_block = |size: &usize| !model.blocks(letter, *size).is_empty();
        if size > 0 {
            assert_eq!(usize::from(longest), (0..=24).rev().find(has_block).unwrap_or(0), "the longest block");
        }
        assert!(alternative.is_none_or(|seats| seats.len() == size));
        if alternative.is_none() {
            assert!(!has_block(&size), "a block could be had");
            let could = size > 0 && model.free_of(letter) >= size && !model.rules.no_orphans;
            assert!(!could, "seats apart could be had");
        }
    }

    /// An alternative succeeds when it is tried next.
    pub(super) fn check_alternative(&self, hold: &Hold, alternative: Option<Seats>) {
        let Some(seats) = alternative else { return };
        let next = Hold { selection: Selection::These(seats), key: None, ..hold.clone() };
        assert!(self.decide(&Command::Hold(next.clone())).is_ok(), "{next:?} was offered");
    }

    pub(super) fn change(&mut self, ago: u8, seats: Seats, stranger: bool) {
        let (reservation, buyer) = self.pick_reservation(ago, stranger);
        let change = ChangeHold { buyer, reservation, seats };
        let expected = self.model.may_change(&change, self.now);
        let decided = self.decide(&Command::ChangeHold(change.clone()));
        let kind = decided.as_ref().map(|_| ()).map_err(name);
        let own = self.model.reservations.get(&reservation).map(|r| r.seats.clone()).unwrap_or_default();
        let leaves_one = || self.model.rules.no_orphans && !self.model.orphans(&change.seats, &own).is_empty();
        if expected.is_ok() && leaves_one() {
            // Whether another block could have been had is left to the sale; what it says must be consistent.
            let refused = kind == Err("OrphanSeat".to_owned());
            assert!(refused || kind.is_ok() && self.model.is_block(&change.seats), "{change:?}: {kind:?}");
        } else {
            assert_eq!(kind, expected.map_err(str::to_owned), "{change:?}");
        }
        match decided {
            Ok(facts) => {
                assert_eq!(self.model.change(&change), !facts.is_empty());
                self.happen(facts);
            }
            Err(Rejection::SeatUnavailable { alternative, .. } | Rejection::OrphanSeat { alternative, .. }) => {
                let Some(seats) = alternative else { return };
                let next = ChangeHold { seats, ..change };
                assert!(self.decide(&Command::ChangeHold(next.clone())).is_ok(), "{next:?} was offered");
            }
            Err(_) => {}
        }
    }
}
