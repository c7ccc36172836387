//! Tickets after a loss: the journal is put back as it was some time ago, and the buyers' tickets put the line back as
//! it stood. What a ticket cannot do is win a place that was given up.

use crate::id::{BuyerId, Ordinal};
use crate::limits::{LOST_ORDINALS, ORDINAL_BLOCK};
use crate::sale::tests::stage::{Stage, admin, buyer, replayed, time};
use crate::sale::{Closed, Command, Entry, PlaceStatus, Rejection, Reply};

/// A crowd, of whom `known` had come when the copy was made; and everybody's tickets.
struct Loss {
    stage: Stage,
    tickets: Vec<(BuyerId, Ordinal)>,
}

/// Who enters between 09:30 and 09:31; those after the first `known` are lost, and the server starts on the copy.
fn loss(known: u128, all: u128) -> Loss {
    let mut stage = Stage::with_room();
    let mut copy = stage.journal.len();
    for who in 1..=all {
        stage.at("09:30:00").buyer(who).enters();
        if who == known {
            copy = stage.journal.len();
        }
    }
    let ticket = |who| stage.sale.place(buyer(who), stage.now).unwrap().ordinal.unwrap();
    let tickets = (1..=all).map(|who| (buyer(who), ticket(who))).collect();
    goes_back_to(&mut stage, copy);
    stage.unattended_at("09:31:00");
    Loss { stage, tickets }
}

fn goes_back_to(stage: &mut Stage, copy: usize) {
    stage.journal.truncate(copy);
    stage.restarts();
}

impl Loss {
    fn shows(&mut self, who: u128) -> Result<PlaceStatus, Rejection> {
        let (buyer, ordinal) = self.tickets[who as usize - 1];
        restores(&mut self.stage, buyer, ordinal)
    }

    fn line(&self) -> Vec<u128> {
        self.stage.sale.waiting().map(|who| who.0.as_u128()).collect()
    }
}

fn restores(stage: &mut Stage, buyer: BuyerId, ordinal: Ordinal) -> Result<PlaceStatus, Rejection> {
    match stage.submit(&Command::Restore { buyer, ordinal })? {
        Reply::Place(place) => Ok(place.status),
        other => panic!("{other:?}"),
    }
}

#[test]
fn tickets_put_the_line_back_in_whatever_order_they_come() {
    let mut loss = loss(3, 9);
    assert_eq!(loss.line(), [1, 2, 3]);
    loss.stage.buyer(50).enters();
    for who in [9, 4, 7, 6, 5, 8] {
        assert!(loss.stage.sale.restores(loss.tickets[who - 1].1));
        loss.shows(who as u128).unwrap();
    }
    assert_eq!(loss.line(), [1, 2, 3, 4, 5, 6, 7, 8, 9, 50], "buyers who came meanwhile stand behind");
    loss.stage.buyer(51).enters();
    assert_eq!(loss.stage.buyer(51).rank(), Some(11));
}

#[test]
fn tickets_of_a_journal_that_knew_nobody_put_everybody_back() {
    let mut loss = loss(0, 5);
    assert!(loss.line().is_empty());
    loss.stage.buyer(50).enters();
    for who in (1..=5).rev() {
        loss.shows(who).unwrap();
    }
    assert_eq!(loss.line(), [1, 2, 3, 4, 5, 50]);
}

#[test]
fn a_ticket_beside_its_place_changes_nothing() {
    let mut loss = loss(3, 3);
    let seq = loss.stage.sale.seq();
    assert_eq!(loss.shows(2), Ok(PlaceStatus::PreQueue { rank: Some(2) }));
    loss.shows(2).unwrap();
    assert_eq!(loss.stage.sale.seq(), seq);
    let lost = Ordinal(4);
    assert_eq!(restores(&mut loss.stage, buyer(2), lost), Ok(PlaceStatus::PreQueue { rank: Some(2) }), "nor another");
    assert_eq!(loss.stage.sale.seq(), seq);
}

#[test]
fn a_spent_ticket_restores_nothing() {
    let mut loss = loss(3, 5);
    loss.shows(5).unwrap();
    loss.stage.buyer(2).leaves();
    loss.stage.buyer(3).goes_silent();
    loss.stage.buyer(5).leaves();
    for who in [2, 3, 5] {
        assert_eq!(loss.shows(who), Err(Rejection::TicketSpent), "{who}");
    }
    loss.stage.at("10:00:00");
    assert!(loss.stage.buyer(1).is_active());
    loss.shows(1).unwrap();
    loss.stage.buyer(1).leaves();
    assert_eq!(loss.shows(1), Err(Rejection::TicketSpent), "admitted and gone");
    let (_, first) = loss.tickets[0];
    assert_eq!(restores(&mut loss.stage, buyer(77), first), Err(Rejection::TicketSpent), "no matter whose it was");
    // It is spent after another start too, and in a snapshot.
    loss.stage.restarts();
    assert_eq!(loss.shows(5), Err(Rejection::TicketSpent));
    assert!(loss.stage.sale.restores(Ordinal(4)), "a lost buyer who was not seen yet may still come");
    loss.shows(4).unwrap();
}

#[test]
fn admission_waits_for_those_who_may_stand_before_the_head() {
    let mut loss = loss(2, 6);
    loss.stage.unattended_at("10:00:00");
    loss.shows(6).unwrap();
    loss.shows(4).unwrap();
    loss.stage.timers_ring().at("10:00:00.5");
    assert!(loss.stage.buyer(1).is_active() && loss.stage.buyer(2).is_active(), "nobody was lost before them");
    assert_eq!(loss.stage.active(), 2, "3 and 5 have not returned");
    loss.stage.at("10:00:01");
    loss.shows(3).unwrap();
    assert_eq!(loss.stage.buyer(4).rank(), Some(2));
    loss.stage.at("10:00:02");
    assert_eq!(loss.stage.active(), 2);
    loss.shows(5).unwrap();
    loss.stage.timers_ring().at("10:00:03");
    assert_eq!(loss.stage.active(), 6, "all have returned");
    let admitted = |entry: &Entry| match entry.fact {
        crate::sale::Fact::Admitted { buyer, .. } => Some(buyer.0.as_u128()),
        _ => None,
    };
    assert!(loss.stage.journal.iter().filter_map(admitted).eq(1..=6), "in the old order");
}

#[test]
fn a_buyer_who_does_not_come_is_waited_for_twice_the_poll_interval_and_no_longer() {
    let mut loss = loss(0, 3);
    loss.stage.unattended_at("10:00:00");
    loss.shows(3).unwrap();
    loss.stage.at("10:00:03.999999");
    assert_eq!(loss.stage.active(), 0);
    loss.shows(2).unwrap();
    loss.stage.at("10:00:04");
    assert!(loss.stage.buyer(2).is_active(), "a second ticket does not make it longer");
    loss.stage.at("10:00:05");
    assert_eq!(loss.stage.active(), 2);
    loss.shows(1).unwrap();
    loss.stage.at("10:00:06");
    assert_eq!(loss.stage.active(), 3, "late, but ahead of those who still wait");
}

#[test]
fn a_loss_beyond_the_room_for_it_is_not_issued_again_either() {
    let mut loss = loss(1, 1);
    let far = Ordinal(ORDINAL_BLOCK + LOST_ORDINALS + ORDINAL_BLOCK + 700);
    loss.stage.buyer(2).enters();
    restores(&mut loss.stage, buyer(9), far).unwrap();
    loss.stage.buyer(3).enters();
    assert_eq!(loss.line(), [1, 2, 9, 3]);
    let next = loss.stage.sale.place(buyer(3), loss.stage.now).unwrap().ordinal.unwrap();
    assert!(next > far);
    assert!(!loss.stage.sale.restores(far) && !loss.stage.sale.restores(Ordinal(0)));
}

#[test]
fn a_ticket_is_of_no_use_where_nobody_may_wait_any_more() {
    let mut loss = loss(1, 3);
    loss.stage.requires(false);
    assert!(matches!(loss.shows(2), Ok(PlaceStatus::Active { slot: None, .. })), "nor where nobody has to");
    loss.stage.requires(true).at("12:00:00");
    assert_eq!(loss.shows(2), Err(Rejection::SaleClosed(Closed::Ended)));
    let mut lost = self::loss(1, 3);
    lost.stage.submit(&Command::CancelSale { by: admin() }).unwrap();
    assert_eq!(lost.shows(2), Err(Rejection::SaleClosed(Closed::Cancelled)));
}

#[test]
fn a_line_that_was_begun_again_is_another_one() {
    let loss = loss(1, 2);
    let made = loss.stage.journal[0].at;
    assert_eq!(loss.stage.sale.incarnation(), made.0.cast_unsigned());
    let mut again = Stage::with_room();
    again.now = time("09:00:01");
    let mut journal = again.journal.clone();
    journal[0].at = again.now;
    assert_ne!(replayed(&journal).incarnation(), loss.stage.sale.incarnation());
}

#[test]
fn with_a_draw_the_tickets_bring_the_same_cohort_and_so_the_same_order_back() {
    let mut stage = Stage::with_room().rules(|config| config.admission.draw = true);
    for who in 1..=3 {
        stage.at("09:30:00").buyer(who).enters();
    }
    let copy = stage.journal.len();
    for who in 4..=12 {
        stage.buyer(who).enters();
    }
    let tickets: Vec<_> = (4..=12).map(|who| (buyer(who), stage.sale.place(buyer(who), stage.now).unwrap())).collect();
    stage.at("10:00:00");
    let (first, drawn) = (stage.sale.draw().unwrap().view(), stage.sale.draw().unwrap().drawn().collect::<Vec<_>>());
    goes_back_to(&mut stage, copy);
    stage.unattended_at("09:40:00");
    for (who, place) in tickets.into_iter().rev() {
        restores(&mut stage, who, place.ordinal.unwrap()).unwrap();
    }
    stage.at("10:00:00");
    assert_eq!(stage.sale.draw().unwrap().view(), first, "the same seed, the same root");
    assert_eq!(stage.sale.draw().unwrap().drawn().collect::<Vec<_>>(), drawn);
}
