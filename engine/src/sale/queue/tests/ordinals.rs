//! Ordinals: reserved in blocks, and never issued twice.

use crate::id::Ordinal;
use crate::limits::{LOST_ORDINALS, ORDINAL_BLOCK};
use crate::sale::tests::stage::Stage;
use crate::sale::{Fact, PlaceStatus};

#[test]
fn ordinals_are_reserved_in_blocks_and_never_issued_twice() {
    let mut stage = Stage::crowd();
    let reserved = |stage: &Stage| {
        let block = |entry: &crate::sale::Entry| match entry.fact {
            Fact::OrdinalsReserved { first, last, .. } => Some((first.0, last.0)),
            _ => None,
        };
        stage.journal.iter().filter_map(block).collect::<Vec<_>>()
    };
    assert_eq!(reserved(&stage), [(1, ORDINAL_BLOCK)]);
    stage.restarts().buyer(4).enters();
    // Room for what may be lost, should the journal be an older copy.
    let first = ORDINAL_BLOCK + LOST_ORDINALS + 1;
    assert_eq!(reserved(&stage), [(1, ORDINAL_BLOCK), (first, first - 1 + ORDINAL_BLOCK)]);
    let ordinal = stage.sale.place(crate::sale::tests::stage::buyer(4), stage.now).unwrap().ordinal;
    assert_eq!(ordinal, Some(Ordinal(first)));
    assert_eq!(stage.buyer(4).rank(), Some(4), "ranks know no gaps");
    stage.buyer(5).enters();
    assert_eq!(reserved(&stage).len(), 2);
}

#[test]
fn a_block_that_is_used_up_is_followed_by_the_next() {
    let mut stage = Stage::with_room();
    for buyer in 1..=u128::from(ORDINAL_BLOCK) + 1 {
        let entering = stage.buyer(buyer);
        let id = entering.id;
        let decision = entering.stage.sale.decide(
            &crate::sale::Command::Enter { buyer: id },
            entering.stage.now,
            crate::id::Epoch(1),
        );
        decision.unwrap().facts.into_iter().for_each(|fact| entering.stage.happens(fact));
    }
    let last = stage.sale.place(crate::sale::tests::stage::buyer(u128::from(ORDINAL_BLOCK) + 1), stage.now).unwrap();
    assert_eq!(last.ordinal, Some(Ordinal(ORDINAL_BLOCK + 1)));
    assert_eq!(last.status, PlaceStatus::PreQueue { rank: Some(ORDINAL_BLOCK + 1) });
}
