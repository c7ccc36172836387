//! The stored form: stable, lossless, and damage is found.
#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;

fn draft() -> PlanDraft {
    let seat = |id: &str, x: f32, category: &str| SeatDraft {
        id: id.into(),
        label: id.to_uppercase(),
        x,
        y: -0.0,
        category: category.into(),
    };
    PlanDraft {
        size: (100.0, 50.5),
        categories: vec![
            Category { name: "R석".into(), color: "#123456".into() },
            Category { name: "unused".into(), color: String::new() },
        ],
        sections: vec![
            SectionDraft { name: "empty".into(), rows: vec![] },
            SectionDraft {
                name: String::new(),
                rows: vec![
                    RowDraft { label: "1".into(), seats: vec![seat("a", 0.0, "R석"), seat("b", 1.5, "R석")] },
                    RowDraft { label: "2".into(), seats: vec![] },
                ],
            },
        ],
    }
}

#[test]
fn a_plan_comes_back_as_it_was() {
    let plan = compile(&draft()).unwrap();
    assert_eq!(draft_of(&plan), draft());
    let packed = pack(&plan).unwrap();
    let unpacked = unpack(&packed, plan.hash()).unwrap();
    assert_eq!((draft_of(&unpacked), unpacked.hash()), (draft(), plan.hash()));
}

#[test]
fn the_hash_is_pinned_for_good() {
    // Journals name plans by this hash: it must be the same in every version.
    assert_eq!(plan_hash(&draft()).to_string(), "da951f2c97f4fe8e68cf1bd02185940c7d0054d32fbd29608d17f61b380bedb7");
}

#[test]
fn the_hash_tells_apart_what_differs_and_only_that() {
    let same = |change: &dyn Fn(&mut PlanDraft)| {
        let mut other = draft();
        change(&mut other);
        plan_hash(&other) == plan_hash(&draft())
    };
    assert!(same(&|plan| plan.sections[1].rows[0].seats[0].y = 0.0));
    assert!(!same(&|plan| plan.size.0 = 101.0));
    assert!(!same(&|plan| plan.categories.swap(0, 1)));
    assert!(!same(&|plan| plan.sections[1].rows[0].label.push('1')));
    assert!(!same(&|plan| plan.sections[1].rows[0].seats.swap(0, 1)));
    assert!(!same(&|plan| plan.sections[1].rows.swap(0, 1)));
}

#[test]
fn a_plan_under_a_foreign_hash_is_not_stored() {
    let plan = Plan::compile(&draft(), PlanHash([7; 32])).unwrap();
    assert!(pack(&plan).is_err());
}

#[test]
fn damage_is_found() {
    let plan = compile(&draft()).unwrap();
    let packed = pack(&plan).unwrap();
    for at in 0..packed.len() {
        let mut damaged = packed.clone();
        damaged[at] ^= 0x10;
        // What zlib itself does not look at (its header's hints) cannot harm either.
        if let Ok(read) = unpack(&damaged, plan.hash()) {
            assert_eq!(draft_of(&read), draft());
        }
        assert!(unpack(&packed[..at], plan.hash()).is_err());
    }
    let form = encode(&draft());
    for end in 0..form.len() {
        assert!(decode(&form[..end]).is_err(), "cut at {end}");
    }
    assert_eq!(decode(&form).unwrap(), draft());
    let longer = [form.as_slice(), &[0]].concat();
    assert_eq!(decode(&longer).unwrap_err(), DamagedPlan("there is more than a plan"));
}
