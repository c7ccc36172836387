//! Samples of every kind and version that was ever written are still read and mean what they meant. Must never change a
//! sample: lines are only added.

use super::*;

/// What was written by earlier versions, one sample of every kind and version. Lines are added, never changed.
const OLD_FACTS: &str = include_str!("../../../fixtures/facts.txt");
const OLD_SNAPSHOTS: &str = include_str!("../../../fixtures/snapshots.txt");

fn unhex(text: &str) -> Vec<u8> {
    assert!(text.len().is_multiple_of(2));
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Name, stored form and meaning of each sample.
fn samples(text: &'static str) -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let sample = |line: &'static str| {
        let mut columns = line.splitn(3, ' ');
        let mut column = || columns.next().unwrap();
        (column(), unhex(column()), column())
    };
    text.lines().filter(|line| !line.starts_with('#')).map(sample).collect()
}

fn parse(json: &str) -> serde_json::Value {
    serde_json::from_str(json).unwrap()
}

fn fact_sample(fact: &Fact) -> String {
    let (kind, body) = encode_fact(fact);
    format!("{} {} {}\n", kind.name(), hex(&body), describe_fact(fact))
}

fn snapshot_sample(snapshot: &SaleSnapshot) -> String {
    format!("v4 {} {}\n", hex(&encode_snapshot(snapshot)), describe_snapshot(snapshot))
}

/// Whether everything that was meant is still described; newer versions may describe more.
fn still_means(described: &serde_json::Value, meant: &serde_json::Value) -> bool {
    match (described, meant) {
        (serde_json::Value::Object(described), serde_json::Value::Object(meant)) => {
            meant.iter().all(|(name, meant)| described.get(name).is_some_and(|described| still_means(described, meant)))
        }
        (serde_json::Value::Array(described), serde_json::Value::Array(meant)) => {
            described.len() == meant.len()
                && described.iter().zip(meant).all(|(described, meant)| still_means(described, meant))
        }
        (described, meant) => described == meant,
    }
}

#[test]
fn old_facts_are_still_read_and_every_kind_has_a_sample() {
    let mut seen = Vec::new();
    for (name, body, meaning) in samples(OLD_FACTS) {
        let kind = *FactKind::ALL.iter().find(|kind| kind.name() == name).unwrap();
        let fact = decode_fact(kind, &body, &plans()).unwrap();
        assert!(still_means(&describe_fact(&fact), &parse(meaning)), "{name} means something else now");
        seen.push((kind, body[0]));
    }
    let mut samples = draw(5);
    let new: String = FactKind::ALL.iter().map(|kind| fact_sample(&samples.fact(*kind))).collect();
    let has_one = |kind: &FactKind| {
        let now = encode_fact(&draw(5).fact(*kind)).1[0];
        seen.contains(&(*kind, now))
    };
    assert!(FactKind::ALL.iter().all(has_one), "samples of this version would be\n{new}");
}

#[test]
fn what_was_written_before_slots_had_a_limit_has_the_contracts() {
    let mut old = 0;
    for (name, body, _) in samples(OLD_FACTS).into_iter().filter(|(_, body, _)| body[0] == 1) {
        let kind = *FactKind::ALL.iter().find(|kind| kind.name() == name).unwrap();
        let fact = decode_fact(kind, &body, &plans()).unwrap();
        if let Fact::Configured { config, .. } = &fact {
            assert_eq!(config.admission.max_holds_per_slot, 30);
            old += 1;
        }
        if let Fact::SeatsHeld { slot, .. } = &fact {
            assert_eq!(*slot, None);
            old += 1;
        }
    }
    assert_eq!(old, 2, "a sample of each");
    assert!(samples(OLD_SNAPSHOTS).into_iter().filter(|(_, body, _)| body[0] < 4).all(|(_, body, _)| {
        let schedule = decode_snapshot(&body, &plans()).unwrap().schedule;
        schedule.is_none()
    }));
    let places = samples(OLD_SNAPSHOTS).into_iter().filter(|(_, body, _)| body[0] < 3).flat_map(|(_, body, _)| {
        let snapshot = decode_snapshot(&body, &plans()).unwrap();
        assert_eq!(snapshot.unmatched, []);
        assert!(snapshot.config.is_none_or(|config| config.admission.max_holds_per_slot == 30));
        snapshot.room.places
    });
    let made = |place: PlaceRow| match place.state {
        PlaceState::Active { holds_made, .. } => Some(holds_made),
        PlaceState::Waiting | PlaceState::Expired { .. } => None,
    };
    let made: Vec<u16> = places.filter_map(made).collect();
    assert!(!made.is_empty() && made.iter().all(|made| *made == 0), "{made:?}");
}

/// What was written before seats could be kept out of a sale sells every category and every seat.
#[test]
fn what_was_written_before_blocking_sells_everything() {
    let mut configs = Vec::new();
    for (_, body, _) in samples(OLD_FACTS).into_iter().filter(|(name, body, _)| *name == "configured" && body[0] < 3) {
        let fact = decode_fact(FactKind::Configured, &body, &plans()).unwrap();
        if let Fact::Configured { config, .. } = &fact {
            configs.push((**config).clone());
        }
    }
    for (_, body, _) in samples(OLD_SNAPSHOTS).into_iter().filter(|(_, body, _)| body[0] < 4) {
        configs.extend(decode_snapshot(&body, &plans()).unwrap().config);
    }
    assert!(configs.len() >= 2, "samples of both");
    for config in configs {
        assert!(config.prices.iter().all(Option::is_some) && config.blocked.is_empty(), "{config:?}");
    }
}

#[test]
fn old_snapshots_are_still_read() {
    let old = samples(OLD_SNAPSHOTS);
    for (version, body, meaning) in &old {
        let snapshot = decode_snapshot(body, &plans()).unwrap();
        assert!(still_means(&describe_snapshot(&snapshot), &parse(meaning)), "{version} means something else now");
    }
    assert!(
        old.iter().any(|(version, ..)| *version == "v4"),
        "a sample of this version would be\n{}",
        snapshot_sample(&draw(6).snapshot())
    );
}
