//! The draw: a seed bound before anybody comes, a cohort frozen at the opening, an order that follows from both, once.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::wildcard_enum_match_arm, reason = "tests fail by panicking")]

use crate::id::{BuyerId, Epoch, Ordinal};
use crate::sale::draw::merkle::{is_path_of, leaf, root_by_path};
use crate::sale::draw::{DrawHash, DrawSeed, cohort_root, drawn_order};
use crate::sale::tests::stage::{Stage, buyer, time};
use crate::sale::{Command, Fact, PlaceStatus, Sale};

/// So many wait for the opening of a sale with a draw.
fn cohort(size: u128) -> Stage {
    let mut stage = Stage::with_room().rules(|config| config.admission.draw = true);
    for who in 1..=size {
        stage.at("09:30:00").buyer(who).enters();
    }
    stage
}

fn draws(stage: &Stage) -> Vec<&Fact> {
    let of_draw =
        |fact: &&Fact| matches!(fact, Fact::DrawCommitted { .. } | Fact::CohortFrozen { .. } | Fact::Drawn { .. });
    stage.journal.iter().map(|entry| &entry.fact).filter(of_draw).collect()
}

/// The order that anybody works out from what is published and the list of the cohort.
fn by_hand(stage: &Stage, cohort: &[BuyerId]) -> Vec<BuyerId> {
    let seed = stage.sale.draw().unwrap().view().seed.expect("a seed that is shown");
    let order = drawn_order(&seed, cohort_root(cohort.iter().copied()), cohort);
    order.into_iter().map(|at| cohort[at as usize]).collect()
}

#[test]
fn the_seed_is_bound_before_anybody_comes_and_shown_after_the_cohort() {
    let mut stage = Stage::with_room().rules(|config| config.admission.draw = true);
    let before = stage.sale.draw().unwrap().view();
    assert_eq!((before.cohort, before.seed), (None, None));
    for who in 1..=20 {
        stage.at("09:30:00").buyer(who).enters();
    }
    stage.at("09:59:59.999999");
    assert_eq!(stage.sale.draw().unwrap().view(), before, "nothing more is published before the opening");
    assert_eq!(stage.buyer(7).place(), Some(PlaceStatus::PreQueue { rank: None }));
    let line: Vec<BuyerId> = (1..=20).map(buyer).collect();
    stage.unattended_at("10:00:00").step();
    let frozen = stage.sale.draw().unwrap().view();
    assert_eq!((frozen.cohort, frozen.seed), (Some((cohort_root(line.iter().copied()), 20)), None));
    assert_eq!(stage.buyer(7).place(), Some(PlaceStatus::PreQueue { rank: None }), "not drawn yet");
    stage.step();
    let after = stage.sale.draw().unwrap().view();
    assert_eq!(after.seed.unwrap().commitment(), before.commitment);
    assert_eq!(stage.sale.waiting().collect::<Vec<_>>(), by_hand(&stage, &line));
    assert_ne!(by_hand(&stage, &line), line, "and it is no longer the order of arrival");
    let drawn_facts: Vec<_> = draws(&stage).into_iter().map(|fact| format!("{fact:?}")).collect();
    assert!(
        drawn_facts[0].starts_with("DrawCommitted") && drawn_facts[1].starts_with("CohortFrozen"),
        "{drawn_facts:?}"
    );
    assert!(drawn_facts[2].starts_with("Drawn") && drawn_facts.len() == 3, "{drawn_facts:?}");
}

#[test]
fn who_is_drawn_is_admitted_in_that_order_and_who_comes_later_stands_behind() {
    let mut stage = cohort(12);
    stage.unattended_at("10:00:00.5").buyer(77).enters();
    let line: Vec<BuyerId> = (1..=12).map(buyer).collect();
    assert!(matches!(draws(&stage)[1], Fact::CohortFrozen { size: 12, .. }), "the late one is not of the cohort");
    stage.timers_ring();
    let order = by_hand(&stage, &line);
    stage.at("10:00:05");
    let admitted: Vec<BuyerId> = stage
        .journal
        .iter()
        .filter_map(|entry| match &entry.fact {
            Fact::Admitted { buyer, .. } => Some(*buyer),
            _ => None,
        })
        .collect();
    assert_eq!(admitted, [order, vec![buyer(77)]].concat());
}

#[test]
fn who_leaves_between_the_freeze_and_the_draw_moves_nobody() {
    let mut stage = cohort(9);
    stage.unattended_at("10:00:00").step();
    stage.buyer(4).leaves();
    stage.buyer(6).leaves();
    stage.buyer(6).enters();
    stage.step();
    let line: Vec<BuyerId> = (1..=9).map(buyer).collect();
    let mut expected = by_hand(&stage, &line);
    expected.retain(|who| *who != buyer(4) && *who != buyer(6));
    expected.push(buyer(6));
    assert_eq!(stage.sale.waiting().collect::<Vec<_>>(), expected);
}

#[test]
fn a_ticket_names_the_arrival_before_the_draw_and_after_it() {
    let mut stage = cohort(30);
    let named = |stage: &Stage, who: u128| stage.sale.place(buyer(who), stage.now).unwrap().ordinal;
    let before: Vec<_> = (1..=30).map(|who| named(&stage, who)).collect();
    assert_eq!(before, (1..=30).map(|n| Some(Ordinal(n))).collect::<Vec<_>>());
    stage.at("10:00:00");
    assert_eq!((1..=30).map(|who| named(&stage, who)).collect::<Vec<_>>(), before);
    stage.at("10:00:01");
    assert_eq!((1..=30).map(|who| named(&stage, who)).collect::<Vec<_>>(), before, "also for who is let in");
}

#[test]
fn the_same_seed_whatever_the_rules_are_changed_to_and_however_often_it_starts() {
    let mut stage = cohort(3);
    let commitment = stage.sale.draw().unwrap().view().commitment;
    stage.reconfigures(|config| config.admission.draw = false).unwrap();
    assert_eq!(stage.buyer(2).place(), Some(PlaceStatus::PreQueue { rank: Some(2) }));
    stage.restarts();
    stage.reconfigures(|config| config.admission.draw = true).unwrap();
    stage.restarts().reconfigures(|config| config.sale_starts_at = time("10:30:00")).unwrap();
    assert_eq!(stage.sale.draw().unwrap().view().commitment, commitment);
    let other = Command::CommitDraw { seed: DrawSeed([9; 32]) };
    stage.submit(&other).unwrap();
    assert_eq!(stage.sale.draw().unwrap().view().commitment, commitment, "a second seed is not taken");
    stage.at("10:30:00");
    let seq = stage.sale.seq();
    stage.reconfigures(|config| config.admission.draw = false).unwrap_err();
    stage.submit(&other).unwrap();
    stage.timers_ring().restarts().timers_ring();
    assert_eq!((stage.sale.seq(), draws(&stage).len()), (seq, 3), "and there is no second draw");
}

#[test]
fn a_draw_that_is_cut_in_the_middle_is_finished_the_same() {
    let mut stage = cohort(25);
    let line: Vec<BuyerId> = (1..=25).map(buyer).collect();
    stage.unattended_at("10:00:00").step();
    stage.restarts();
    stage.buyer(26).enters();
    assert_eq!(stage.sale.next_deadline(), Some(stage.now), "the draw is due at once");
    stage.unattended_at("10:00:20").timers_ring();
    let mut expected = by_hand(&stage, &line);
    expected.push(buyer(26));
    let active = stage.active() as usize;
    assert_eq!(stage.sale.waiting().collect::<Vec<_>>(), expected[active..]);
}

/// Has the next fact of the draw worked out beside the sale, as the runtime does for large crowds.
fn prepares(stage: &mut Stage, freezes: bool) {
    let work = stage.sale.preparation(stage.now, 0).expect("something to work out");
    assert_eq!(work.freezes(), freezes);
    stage.sale.prepare(work.compute());
    assert!(stage.sale.preparation(stage.now, 0).is_none(), "it fits");
}

#[test]
fn what_is_computed_beside_the_sale_is_what_a_replay_computes() {
    let mut stage = cohort(600);
    stage.buyer(20).leaves();
    stage.unattended_at("10:00:00");
    prepares(&mut stage, true);
    stage.step();
    stage.buyer(4).leaves();
    prepares(&mut stage, false);
    for who in [9, 599, 600] {
        stage.buyer(who).leaves();
    }
    stage.buyer(9).enters();
    stage.buyer(700).enters();
    stage.step();
    let line: Vec<BuyerId> = (1..=600).filter(|who| *who != 20).map(buyer).collect();
    let gone = [4, 9, 599, 600].map(buyer);
    let drawn = by_hand(&stage, &line).into_iter().filter(|who| !gone.contains(who));
    assert!(stage.sale.waiting().eq(drawn.chain([buyer(9), buyer(700)])));
    let mut replayed = Sale::new();
    stage.journal.iter().for_each(|entry| replayed.apply(entry));
    assert!(replayed.snapshot() == stage.sale.snapshot(), "a replay has nothing prepared");
    for who in (1..=600).map(buyer).chain([buyer(9), buyer(700)]) {
        let rank = |sale: &Sale| sale.place(who, stage.now);
        assert_eq!(rank(&replayed), rank(&stage.sale));
        assert_eq!(rank(&Sale::from_snapshot(stage.sale.snapshot())), rank(&stage.sale));
    }
    stage.at("10:00:05");
}

#[test]
fn what_was_computed_for_another_line_is_not_used() {
    let mut stage = cohort(30);
    stage.unattended_at("10:00:00");
    prepares(&mut stage, true);
    stage.buyer(7).leaves();
    stage.buyer(31).enters();
    // The one who entered at the opening found the cohort frozen.
    let line: Vec<BuyerId> = (1..=30).filter(|who| *who != 7).map(buyer).collect();
    assert_eq!(stage.sale.draw().unwrap().view().cohort, Some((cohort_root(line.iter().copied()), 29)));
    let mut other = cohort(40);
    other.unattended_at("10:00:00").step();
    stage.sale.prepare(other.sale.preparation(other.now, 0).unwrap().compute());
    stage.step();
    assert!(stage.sale.waiting().eq(by_hand(&stage, &line).into_iter().chain([buyer(31)])));
}

#[test]
fn nobody_is_admitted_before_the_draw_and_a_pause_does_not_hold_it_up() {
    let mut stage = cohort(5);
    stage.pauses(true).at("10:00:10");
    assert_eq!((stage.active(), draws(&stage).len()), (0, 3));
    stage.pauses(false).at("10:00:11");
    assert_eq!(stage.active(), 5);
}

#[test]
fn a_draw_without_a_crowd_and_one_that_is_cancelled() {
    let mut stage = cohort(0);
    stage.at("10:00:01");
    let view = stage.sale.draw().unwrap().view();
    assert_eq!(view.cohort, Some((cohort_root([]), 0)));
    assert!(view.seed.is_some());
    stage.buyer(1).enters();
    stage.timers_ring();
    assert!(stage.buyer(1).is_active());

    let mut stage = cohort(5);
    stage.cancels_the_sale().at("10:00:10");
    assert_eq!(draws(&stage).len(), 1);
    assert_eq!(stage.sale.draw().unwrap().view().seed, None);
}

#[test]
fn every_member_has_a_proof_and_nobody_else() {
    let mut stage = cohort(21);
    assert_eq!(stage.sale.draw().unwrap().proof(buyer(3)), None, "there is no root yet");
    stage.at("10:00:00");
    let draw = stage.sale.draw().unwrap();
    let view = draw.view();
    let (root, size) = view.cohort.unwrap();
    let mut ranks = Vec::new();
    for who in (1..=21).map(buyer) {
        let proof = draw.proof(who).unwrap();
        assert_eq!(root_by_path(leaf(who), &proof.path), root);
        assert!(is_path_of(proof.index, size, &proof.path));
        let (lot, rank) = proof.drawn.unwrap();
        assert_eq!(lot, view.seed.unwrap().lot(root, who));
        ranks.push((lot, rank));
    }
    ranks.sort_unstable();
    assert!(ranks.iter().map(|(_, rank)| *rank).eq(1..=21), "the lots in their order are the ranks");
    assert_eq!(draw.proof(buyer(22)), None);
}

#[test]
fn a_changed_seed_a_dropped_and_an_added_buyer_give_something_else() {
    let (seed, cohort): (_, Vec<BuyerId>) = (DrawSeed([3; 32]), (1..=16).map(buyer).collect());
    let root = cohort_root(cohort.iter().copied());
    let order = drawn_order(&seed, root, &cohort);
    for byte in 0..32 {
        let mut other = seed;
        other.0[byte] ^= 1;
        assert_ne!(other.commitment(), seed.commitment());
        assert_ne!(drawn_order(&other, root, &cohort), order);
    }
    for dropped in 0..16 {
        let mut fewer = cohort.clone();
        fewer.remove(dropped);
        assert_ne!(cohort_root(fewer), root);
        let mut more = cohort.clone();
        more.insert(dropped, buyer(99));
        let other = cohort_root(more.iter().copied());
        assert_ne!(other, root);
        assert_ne!(drawn_order(&seed, other, &cohort), order, "another root is another order");
    }
    let swapped: Vec<BuyerId> = [1, 0].into_iter().chain(2..16).map(|at| cohort[at]).collect();
    assert_ne!(cohort_root(swapped), root, "the order of arrival is bound, too");
}

/// How far counts are from being equal.
fn chi_square(counts: &[u32]) -> f64 {
    let expected = f64::from(counts.iter().sum::<u32>()) / counts.len() as f64;
    counts.iter().map(|count| (f64::from(*count) - expected).powi(2) / expected).sum()
}

fn seed(number: u64) -> DrawSeed {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&number.to_be_bytes());
    DrawSeed(bytes)
}

#[test]
fn over_many_draws_every_order_and_every_place_is_equally_likely() {
    let four: Vec<BuyerId> = (1..=4).map(buyer).collect();
    let root = cohort_root(four.iter().copied());
    let mut orders = std::collections::BTreeMap::<Vec<u32>, u32>::new();
    for number in 0..12_000 {
        *orders.entry(drawn_order(&seed(number), root, &four)).or_default() += 1;
    }
    let counts: Vec<u32> = orders.into_values().collect();
    assert_eq!(counts.len(), 24, "every order comes up");
    // 23 degrees of freedom: a fair draw is beyond 49.7 once in a thousand times.
    assert!(chi_square(&counts) < 49.7, "{counts:?}");

    // For the first to come, the last, and one in between, every place of fifty is as likely as any other.
    let fifty: Vec<BuyerId> = (1..=50).map(|n| BuyerId(uuid::Uuid::from_u128(n << 64))).collect();
    let root = cohort_root(fifty.iter().copied());
    for arrival in [0, 1, 24, 49] {
        let mut places = [0; 50];
        for number in 0..5_000 {
            let order = drawn_order(&seed(number), root, &fifty);
            places[order.iter().position(|at| *at == arrival).unwrap()] += 1;
        }
        // 49 degrees of freedom: 85.4 once in a thousand times.
        assert!(chi_square(&places) < 85.4, "arrival {arrival}: {places:?}");
    }
}

#[test]
fn the_hashes_are_those_that_the_decision_record_says() {
    // printf 'onsale draw commitment 1' and 32 zero bytes | sha256sum; the others likewise, with python's hmac.
    let seed = DrawSeed([0; 32]);
    let hex = |hash: DrawHash| hash.to_string();
    assert_eq!(hex(seed.commitment()), "1c2d4904e7c3e3ecf44c4b54d4dee78979b1ef66355606225d5d09c653bcea6e");
    assert_eq!(hex(leaf(buyer(1))), "bd839e8f98c7bf2b8f2bf476f25ffc4ca923273ec4160ff74469c8715d0a698a");
    assert_eq!(
        hex(cohort_root((1..=3).map(buyer))),
        "b0921dd16d33d99a0b4a900fac814839f6cb98664d5360fd0312bcb4da64018c"
    );
    assert_eq!(
        hex(seed.lot(cohort_root((1..=3).map(buyer)), buyer(2))),
        "394cea6813147b28092d4d142cc5fa5446c08f9017725a5543cff34297d004d2"
    );
    assert!(!format!("{seed:?}").contains("0, 0"), "a seed is not printed by accident");
}

#[test]
fn without_a_seed_there_is_no_draw_and_the_line_stays_as_it_came() {
    // A journal that was written before draws were made: nobody brought a seed before the opening.
    let mut stage = Stage::with_room();
    for who in 1..=3 {
        stage.buyer(who).enters();
    }
    let mut snapshot = stage.sale.snapshot();
    snapshot.config.as_mut().unwrap().admission.draw = true;
    let sale = Sale::from_snapshot(snapshot);
    assert!(sale.wants_seed());
    let step = sale.decide(&Command::Tick, time("10:00:00"), Epoch(1)).unwrap();
    assert!(matches!(step.facts[..], [Fact::Admitted { buyer: first, .. }] if first == buyer(1)));
}
