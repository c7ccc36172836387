//! What buyers do in a story, and how they are refused. A verb expects a yes, `cannot_…` expects a no.

use crate::id::{BuyerId, CategoryIndex, PaymentId, ReservationId, Slot};
use crate::money::Amount;
use crate::sale::tests::stage::Stage;
use crate::sale::{
    ChangeHold, Command, ConfirmPayment, Hold, OpenPayment, PaymentStatus, PaymentView, PlaceStatus, Rejection, Reply,
    RequestKey, ReservationStatus, ReservationView, Selection, Unavailable,
};

/// Which queue token a buyer shows.
enum Token {
    Own,
    None,
    Other(Slot),
}

/// A buyer about to act.
pub(in crate::sale) struct Buyer<'a> {
    pub(in crate::sale) stage: &'a mut Stage,
    pub(in crate::sale) id: BuyerId,
    token: Token,
    key: Option<RequestKey>,
}

impl<'a> Buyer<'a> {
    pub(in crate::sale) fn on(stage: &'a mut Stage, id: BuyerId) -> Self {
        Self { stage, id, token: Token::Own, key: None }
    }
}

impl Buyer<'_> {
    pub(in crate::sale) fn without_token(mut self) -> Self {
        self.token = Token::None;
        self
    }

    pub(in crate::sale) fn with_token(mut self, slot: Slot) -> Self {
        self.token = Token::Other(slot);
        self
    }

    /// With an idempotency key, which is the buyer's own, and a body.
    pub(in crate::sale) fn with_key(mut self, key: u128, body: u128) -> Self {
        self.key = Some(RequestKey { scope: self.id.0.as_u128() << 64 | key, body });
        self
    }

    pub(in crate::sale) fn slot(&self) -> Option<Slot> {
        match self.stage.sale.place(self.id, self.stage.now)?.status {
            PlaceStatus::Active { slot, .. } => slot,
            _ => None,
        }
    }

    pub(in crate::sale) fn tries(&mut self, selection: Selection) -> Result<ReservationView, Rejection> {
        let slot = match self.token {
            Token::Own => self.slot(),
            Token::None => None,
            Token::Other(slot) => Some(slot),
        };
        let reservation = ReservationId(self.stage.next());
        let hold = Hold { reservation, buyer: self.id, selection, slot, key: self.key };
        match self.stage.submit(&Command::Hold(hold))? {
            Reply::Reservation(view) => Ok(*view),
            other => panic!("{other:?}"),
        }
    }

    fn these(&self, seats: &[&str]) -> Selection {
        Selection::These(self.stage.seats(seats))
    }

    fn best(&self, category: &str, quantity: u16) -> Selection {
        let category = self.stage.sale.plan().unwrap().category(category).unwrap_or(CategoryIndex(999));
        Selection::best(category, quantity)
    }

    #[track_caller]
    pub(in crate::sale) fn holds<const N: usize>(mut self, seats: [&str; N]) -> ReservationId {
        let selection = self.these(&seats);
        self.tries(selection).unwrap_or_else(|no| panic!("{seats:?} refused: {no:?}")).id
    }

    /// Holds the best seats, which should be these.
    #[track_caller]
    pub(in crate::sale) fn gets_best<const N: usize>(mut self, category: &str, seats: [&str; N]) -> ReservationId {
        let selection = self.best(category, N as u16);
        let view = self.tries(selection).unwrap_or_else(|no| panic!("best {N} of {category} refused: {no:?}"));
        assert_eq!(self.stage.names(&view.seats), seats);
        view.id
    }

    #[track_caller]
    pub(in crate::sale) fn cannot_hold<const N: usize>(mut self, seats: [&str; N]) -> Refusal {
        let selection = self.these(&seats);
        let refused = self.tries(selection).expect_err("a refusal");
        Refusal::of(self.stage, refused)
    }

    #[track_caller]
    pub(in crate::sale) fn cannot_hold_best(mut self, category: &str, quantity: u16) -> Refusal {
        let selection = self.best(category, quantity);
        let refused = self.tries(selection).expect_err("a refusal");
        Refusal::of(self.stage, refused)
    }

    fn change(&mut self, reservation: ReservationId, seats: &[&str]) -> Result<Reply, Rejection> {
        let seats = self.stage.seats(seats);
        self.stage.submit(&Command::ChangeHold(ChangeHold { buyer: self.id, reservation, seats }))
    }

    #[track_caller]
    pub(in crate::sale) fn changes<const N: usize>(mut self, reservation: ReservationId, seats: [&str; N]) {
        let reply = self.change(reservation, &seats).expect("changed");
        assert!(matches!(reply, Reply::Reservation(view) if self.stage.names(&view.seats) == seats));
    }

    #[track_caller]
    pub(in crate::sale) fn cannot_change<const N: usize>(
        mut self,
        reservation: ReservationId,
        seats: [&str; N],
    ) -> Refusal {
        let refused = self.change(reservation, &seats).expect_err("a refusal");
        Refusal::of(self.stage, refused)
    }

    pub(in crate::sale) fn does(&mut self, command: impl FnOnce(BuyerId) -> Command) -> Result<Reply, Rejection> {
        self.stage.submit(&command(self.id))
    }

    #[track_caller]
    pub(in crate::sale) fn releases(mut self, reservation: ReservationId) {
        self.does(|buyer| Command::ReleaseHold { buyer, reservation }).expect("released");
    }

    #[track_caller]
    pub(in crate::sale) fn cannot_release(mut self, reservation: ReservationId) -> Refusal {
        let refused = self.does(|buyer| Command::ReleaseHold { buyer, reservation }).expect_err("a refusal");
        Refusal::of(self.stage, refused)
    }

    /// Cancels a confirmed reservation; what is given back.
    #[track_caller]
    pub(in crate::sale) fn cancels(mut self, reservation: ReservationId) -> Amount {
        match self.does(|buyer| Command::CancelReservation { buyer, reservation }).expect("cancelled") {
            Reply::Reservation(view) => view.refund.expect("a refund"),
            other => panic!("{other:?}"),
        }
    }

    #[track_caller]
    pub(in crate::sale) fn cannot_cancel(mut self, reservation: ReservationId) -> Refusal {
        let refused = self.does(|buyer| Command::CancelReservation { buyer, reservation }).expect_err("a refusal");
        Refusal::of(self.stage, refused)
    }

    pub(in crate::sale) fn opens(
        mut self,
        reservation: ReservationId,
        amount: Amount,
    ) -> Result<PaymentView, Rejection> {
        self.open(reservation, amount)
    }

    fn open(&mut self, reservation: ReservationId, amount: Amount) -> Result<PaymentView, Rejection> {
        let payment = PaymentId(self.stage.next());
        let open = OpenPayment { payment, buyer: self.id, reservation, amount, key: self.key };
        match self.stage.submit(&Command::OpenPayment(open))? {
            Reply::Payment(view) => Ok(*view),
            other => panic!("{other:?}"),
        }
    }

    #[track_caller]
    pub(in crate::sale) fn opens_payment(mut self, reservation: ReservationId) -> PaymentId {
        let amount = self.stage.reservation(reservation).amount;
        self.open(reservation, amount).expect("a payment is opened").id
    }

    #[track_caller]
    pub(in crate::sale) fn cannot_open_payment(mut self, reservation: ReservationId, amount: i64) -> Refusal {
        let refused = self.open(reservation, Amount(amount)).expect_err("a refusal");
        Refusal::of(self.stage, refused)
    }

    fn confirm(
        &mut self,
        payment: PaymentId,
        reservation: ReservationId,
        amount: Amount,
    ) -> Result<PaymentStatus, Rejection> {
        let (buyer, transaction, key) = (self.id, "sim_ok".into(), self.key);
        let confirm = ConfirmPayment { buyer, payment, reservation, amount, transaction, key };
        match self.stage.submit(&Command::ConfirmPayment(confirm))? {
            Reply::Payment(view) => Ok(view.status),
            other => panic!("{other:?}"),
        }
    }

    /// Asks for the charge of an opened payment.
    #[track_caller]
    pub(in crate::sale) fn confirms(mut self, payment: PaymentId) -> PaymentStatus {
        let view = self.stage.sale.payment(payment).expect("a payment");
        self.confirm(payment, view.reservation, view.amount).expect("confirmed")
    }

    #[track_caller]
    pub(in crate::sale) fn cannot_confirm(mut self, payment: PaymentId) -> Refusal {
        let view = self.stage.sale.payment(payment).expect("a payment");
        let refused = self.confirm(payment, view.reservation, view.amount).expect_err("a refusal");
        Refusal::of(self.stage, refused)
    }

    #[track_caller]
    pub(in crate::sale) fn cannot_confirm_with(
        mut self,
        payment: PaymentId,
        reservation: ReservationId,
        amount: i64,
    ) -> Refusal {
        let refused = self.confirm(payment, reservation, Amount(amount)).expect_err("a refusal");
        Refusal::of(self.stage, refused)
    }

    /// Asks for the charge once more, by another transaction.
    #[track_caller]
    pub(in crate::sale) fn cannot_confirm_by(mut self, transaction: &str, payment: PaymentId) -> Refusal {
        let view = self.stage.sale.payment(payment).expect("a payment");
        let (buyer, reservation, amount, key) = (self.id, view.reservation, view.amount, self.key);
        let transaction = transaction.into();
        let confirm = ConfirmPayment { buyer, payment, reservation, amount, transaction, key };
        let refused = self.does(|_| Command::ConfirmPayment(confirm)).expect_err("a refusal");
        Refusal::of(self.stage, refused)
    }

    /// Opens a payment and asks for its charge; the provider has not answered.
    #[track_caller]
    pub(in crate::sale) fn starts_paying(mut self, reservation: ReservationId) -> PaymentId {
        let amount = self.stage.reservation(reservation).amount;
        let payment = self.open(reservation, amount).expect("a payment is opened").id;
        assert_eq!(self.confirm(payment, reservation, amount), Ok(PaymentStatus::Charging));
        payment
    }

    /// The whole payment, and the provider takes the money.
    #[track_caller]
    pub(in crate::sale) fn pays(self, reservation: ReservationId) -> PaymentId {
        let Buyer { stage, id, token, key } = self;
        let payment = Buyer { stage: &mut *stage, id, token, key }.starts_paying(reservation);
        stage.captures(payment);
        assert_eq!(stage.status(reservation), ReservationStatus::Confirmed);
        payment
    }

    #[track_caller]
    pub(in crate::sale) fn enters(mut self) -> PlaceStatus {
        match self.does(|buyer| Command::Enter { buyer }).expect("entered") {
            Reply::Place(place) => place.status,
            other => panic!("{other:?}"),
        }
    }

    #[track_caller]
    pub(in crate::sale) fn cannot_enter(mut self) -> Refusal {
        let refused = self.does(|buyer| Command::Enter { buyer }).expect_err("a refusal");
        Refusal::of(self.stage, refused)
    }

    pub(in crate::sale) fn leaves(mut self) {
        self.does(|buyer| Command::Leave { buyer }).expect("leaving always works");
    }

    pub(in crate::sale) fn goes_silent(mut self) {
        self.does(|buyer| Command::ExpireAbsent { buyer }).expect("absence is no mistake");
    }

    pub(in crate::sale) fn place(&self) -> Option<PlaceStatus> {
        self.stage.sale.place(self.id, self.stage.now).map(|place| place.status)
    }

    /// Waits behind so many, or not.
    pub(in crate::sale) fn rank(&self) -> Option<u64> {
        match self.place()? {
            PlaceStatus::Waiting { rank } => Some(rank),
            PlaceStatus::PreQueue { rank } => rank,
            PlaceStatus::Active { .. } | PlaceStatus::Expired => None,
        }
    }

    pub(in crate::sale) fn is_active(&self) -> bool {
        matches!(self.place(), Some(PlaceStatus::Active { .. }))
    }
}

/// A no, with its seats by name.
#[derive(Debug)]
pub(in crate::sale) struct Refusal {
    pub(in crate::sale) rejection: Rejection,
    seats: Vec<String>,
    alternative: Option<Vec<String>>,
}

impl Refusal {
    fn of(stage: &Stage, rejection: Rejection) -> Self {
        let (seats, alternative) = match &rejection {
            Rejection::SeatUnavailable { taken: seats, alternative, .. }
            | Rejection::PairSplit { missing: seats, alternative }
            | Rejection::OrphanSeat { orphans: seats, alternative } => (stage.names(seats), alternative.clone()),
            _ => (Vec::new(), None),
        };
        let alternative = alternative.map(|seats| stage.names(&seats));
        Self { rejection, seats, alternative }
    }

    #[track_caller]
    pub(in crate::sale) fn because(self, reason: Rejection) {
        assert_eq!(self.rejection, reason);
    }

    /// These seats are taken.
    #[track_caller]
    pub(in crate::sale) fn taken<const N: usize>(self, seats: [&str; N]) -> Self {
        assert!(matches!(self.rejection, Rejection::SeatUnavailable { .. }), "{self:?}");
        assert_eq!(self.seats, seats);
        self
    }

    /// Why seats cannot be had, and how many stand together.
    #[track_caller]
    pub(in crate::sale) fn says(self, wanted: Unavailable, block: u16) -> Self {
        let Rejection::SeatUnavailable { reason, longest_block, .. } = &self.rejection else { panic!("{self:?}") };
        assert_eq!((*reason, *longest_block), (wanted, block));
        self
    }

    /// These seats are the other halves of pairs.
    #[track_caller]
    pub(in crate::sale) fn splits<const N: usize>(self, seats: [&str; N]) -> Self {
        assert!(matches!(self.rejection, Rejection::PairSplit { .. }), "{self:?}");
        assert_eq!(self.seats, seats);
        self
    }

    /// These seats would be left alone.
    #[track_caller]
    pub(in crate::sale) fn orphans<const N: usize>(self, seats: [&str; N]) -> Self {
        assert!(matches!(self.rejection, Rejection::OrphanSeat { .. }), "{self:?}");
        assert_eq!(self.seats, seats);
        self
    }

    #[track_caller]
    pub(in crate::sale) fn try_instead<const N: usize>(self, seats: [&str; N]) {
        assert_eq!(self.alternative.expect("an alternative"), seats);
    }

    #[track_caller]
    pub(in crate::sale) fn nothing_instead(self) {
        assert_eq!(self.alternative, None);
    }
}
