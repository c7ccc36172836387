//! The stored form: stable, lossless, and damage is found.
#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;
use onsale_engine::id::SeatIndex;
use onsale_engine::plan::Area;
use std::fmt::Write;

/// As it was listed when the first version was the only one; its rows are in no order that follows from where they lie.
fn draft() -> PlanDraft {
    let seat = |id: &str, x: f32, category: &str| SeatDraft {
        id: id.into(),
        label: id.to_uppercase(),
        x,
        y: -0.0,
        category: category.into(),
        ..SeatDraft::default()
    };
    let row = |label: &str, seats: Vec<SeatDraft>| RowDraft { label: label.into(), seats, ..RowDraft::default() };
    let section = |name: &str, rows: Vec<RowDraft>| SectionDraft { name: name.into(), rows, ..SectionDraft::default() };
    PlanDraft {
        size: (100.0, 50.5),
        categories: vec![
            Category { name: "R석".into(), color: "#123456".into() },
            Category { name: "unused".into(), color: String::new() },
        ],
        sections: vec![
            section("empty", vec![]),
            section("", vec![row("1", vec![seat("a", 0.0, "R석"), seat("b", 1.5, "R석")]), row("2", vec![])]),
        ],
        ..PlanDraft::default()
    }
}

/// With everything that the second version has and the first has not.
fn rich() -> PlanDraft {
    let mut rich = draft();
    let row = &mut rich.sections[1].rows[0];
    (row.name, row.seat_name) = (Some("Reihe 1".into()), Some("Platz %s".into()));
    row.seats.iter_mut().for_each(|seat| seat.pair = Some("sofa".into()));
    row.seats[0].kind = SeatKind::Wheelchair;
    rich.stage = Some(Stage { x: 1.0, y: -20.0, source: StageSource::Given });
    rich
}

#[test]
fn a_plan_comes_back_as_it_was() {
    for draft in [draft(), rich()] {
        let plan = compile(&draft).unwrap();
        let packed = pack(&plan).unwrap();
        let unpacked = unpack(&packed, plan.hash()).unwrap();
        assert_eq!((unpacked.draft(), unpacked.layout()), (plan.draft(), plan.layout()));
        assert_eq!((unpacked.hash(), unpacked.stage()), (plan.hash(), plan.stage()));
        assert_eq!(pack(&unpacked).unwrap(), packed);
    }
}

#[test]
fn the_hashes_are_pinned_for_good() {
    // Journals name plans by these hashes: they must be the same in every version.
    let first = hash_of(&encode_draft(&draft(), LISTED).0);
    assert_eq!(first.to_string(), "da951f2c97f4fe8e68cf1bd02185940c7d0054d32fbd29608d17f61b380bedb7");
    assert_eq!(
        compile(&rich()).unwrap().hash().to_string(),
        "7da7c63113a224c12c41126d528cb1d8f8906cac0c13cf405456e1179faa6c0e"
    );
}

/// A plan as a text, seat by seat: what sales that refer to it rely on.
fn laid_out(plan: &Plan) -> String {
    let mut text = format!("{}\n", plan.hash());
    for section in plan.sections() {
        writeln!(text, "section {:?} {:?}", section.name, section.rows).unwrap();
    }
    for row in plan.rows() {
        writeln!(text, "row {:?} {} {:?}", row.label, row.section, row.seats).unwrap();
    }
    let mut ranks = vec![0; plan.segments().len()];
    for category in (0..plan.categories().len() as u16).map(onsale_engine::id::CategoryIndex) {
        for (rank, &number) in plan.best_segments(category).iter().enumerate() {
            ranks[number as usize] = rank;
        }
    }
    for (segment, rank) in plan.segments().iter().zip(ranks) {
        let (category, row, seats) = (segment.category.at(), segment.row, &segment.seats);
        writeln!(text, "segment {category} {row} {seats:?} {rank} {}", segment.centre).unwrap();
    }
    for seat in (0..plan.capacity() as u32).map(SeatIndex) {
        writeln!(text, "seat {} {:?}", plan.seat_id(seat), plan.seat_position(seat)).unwrap();
    }
    text
}

#[test]
fn plans_of_the_first_version_keep_their_order_their_ranking_and_their_hash() {
    for name in ["theatre", "odd"] {
        let path = |end: &str| format!("{}/fixtures/plans/{name}-v1.{end}", env!("CARGO_MANIFEST_DIR"));
        let expected = std::fs::read_to_string(path("txt")).unwrap();
        let hash: PlanHash = PlanHash(hex(expected.lines().next().unwrap()));
        let packed = std::fs::read(path("plan")).unwrap();
        let plan = unpack(&packed, hash).unwrap();
        assert_eq!(laid_out(&plan), expected, "{name}");
        assert_eq!(plan.stage(), None);
        assert_eq!(encode(&plan), encode(&unpack(&pack(&plan).unwrap(), hash).unwrap()), "it stays of its version");
    }
}

fn hex(text: &str) -> [u8; 32] {
    let byte = |at: usize| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).unwrap();
    std::array::from_fn(byte)
}

#[test]
fn the_hash_differs_where_the_plan_does_and_only_there() {
    let hash = compile(&rich()).unwrap().hash();
    let same = |change: &dyn Fn(&mut PlanDraft)| {
        let mut other = rich();
        change(&mut other);
        compile(&other).unwrap().hash() == hash
    };
    assert!(same(&|plan| plan.sections[1].rows[0].seats[0].y = 0.0));
    assert!(same(&|plan| plan.categories.swap(0, 1)), "an order of a list");
    assert!(same(&|plan| plan.sections[1].rows[0].seats.swap(0, 1)));
    assert!(same(&|plan| plan.areas.push(Area { text: "Bar".into(), ..Area::default() })), "the drawing");
    assert!(!same(&|plan| plan.size.0 = 101.0));
    assert!(!same(&|plan| plan.stage = None));
    assert!(!same(&|plan| plan.sections[1].rows[0].label.push('1')));
    assert!(!same(&|plan| plan.sections[1].rows[0].seat_name = None));
    assert!(!same(&|plan| plan.sections[1].rows[0].seats[1].kind = SeatKind::Companion));
    assert!(!same(&|plan| plan.sections[1].rows[0].seats.iter_mut().for_each(|seat| seat.pair = None)));
    assert!(!same(&|plan| plan.sections[1].rows[0].seats[1].x = 1.25));
}

#[test]
fn a_plan_under_a_foreign_hash_is_not_stored() {
    let plan = Plan::compile(&draft(), PlanHash([7; 32])).unwrap();
    assert!(pack(&plan).is_err());
}

#[test]
fn damage_is_found() {
    let plan = compile(&rich()).unwrap();
    let packed = pack(&plan).unwrap();
    for at in 0..packed.len() {
        let mut damaged = packed.clone();
        damaged[at] ^= 0x10;
        // What zlib itself does not read (its header's hints) cannot harm either.
        if let Ok(read) = unpack(&damaged, plan.hash()) {
            assert_eq!(read.draft(), plan.draft());
        }
        assert!(unpack(&packed[..at], plan.hash()).is_err());
    }
    let form = encode(&plan);
    for end in 0..form.len() {
        assert!(decode(&form[..end]).is_err(), "cut at {end}");
    }
    assert_eq!(decode(&form).unwrap(), (plan.draft(), Some(plan.layout())));
    let longer = [form.as_slice(), &[0]].concat();
    assert_eq!(decode(&longer).unwrap_err(), DamagedPlan("there is more than a plan"));
    let unknown = [&[9], &form[1..]].concat();
    assert_eq!(decode(&unknown).unwrap_err(), DamagedPlan("its form is of an unknown version"));
}
