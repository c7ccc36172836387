//! What happened in the histories, to see that they are worth their time.

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tally {
    pub facts: u64,
    pub answered: u64,
    pub settled: u64,
    pub rejected: u64,
    /// Answers that nothing was done, for reasons of ours.
    pub not_done: u64,
    /// Answers that nobody knows whether it was done.
    pub unknown: u64,
    pub hung_up: u64,
    /// Refused because the buyer is in another event.
    pub elsewhere: u64,
    pub crashes: u64,
    pub unanswered: u64,
    pub lost_answers: u64,
    pub fenced: u64,
    pub takeovers: u64,
    pub panics: u64,
    pub rebuilds: u64,
    pub snapshots: u64,
    pub admitted: u64,
    pub confirmed: u64,
    pub refunded: u64,
    pub late_money: u64,
    pub reports: u64,
    pub cancelled_sales: u64,
    pub draws: u64,
    pub drawn_buyers: u64,
    pub notified: u64,
}

impl Tally {
    fn counts(&mut self) -> [&mut u64; 25] {
        [
            &mut self.facts,
            &mut self.answered,
            &mut self.settled,
            &mut self.rejected,
            &mut self.not_done,
            &mut self.unknown,
            &mut self.hung_up,
            &mut self.elsewhere,
            &mut self.crashes,
            &mut self.unanswered,
            &mut self.lost_answers,
            &mut self.fenced,
            &mut self.takeovers,
            &mut self.panics,
            &mut self.rebuilds,
            &mut self.snapshots,
            &mut self.admitted,
            &mut self.confirmed,
            &mut self.refunded,
            &mut self.late_money,
            &mut self.reports,
            &mut self.cancelled_sales,
            &mut self.draws,
            &mut self.drawn_buyers,
            &mut self.notified,
        ]
    }

    pub fn add(&mut self, mut other: Self) {
        self.counts().into_iter().zip(other.counts()).for_each(|(sum, more)| *sum += *more);
    }

    /// Everything that can go wrong went wrong somewhere, and most things went well.
    pub fn is_rich(&self) -> bool {
        self.answered > 10_000 && self.clone().counts().into_iter().all(|count| *count >= 100)
    }
}
