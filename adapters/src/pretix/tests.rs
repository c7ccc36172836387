//! Import of the three real halls, and of documents with mistakes.
#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;
use onsale_engine::id::SeatIndex;
use std::collections::BTreeMap;

fn hall(name: &str) -> Vec<u8> {
    std::fs::read(format!("{}/../halls/{name}.json", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

/// What is wrong with `json`, in order.
fn mistakes(json: &str) -> Vec<(String, String)> {
    import(json.as_bytes()).unwrap_err().into_iter().map(|mistake| (mistake.field, mistake.message)).collect()
}

fn fields(json: &str) -> Vec<String> {
    mistakes(json).into_iter().map(|(field, _)| field).collect()
}

/// A plan of one zone with these rows.
fn plan(rows: &str) -> String {
    format!(
        r##"{{"name":"p","categories":[{{"name":"A","color":"#fff"}}],"zones":[{{"position":{{"x":0,"y":0}},"rows":[{rows}]}}]}}"##
    )
}

fn seat(id: &str, category: &str) -> String {
    format!(r#"{{"seat_guid":"{id}","seat_number":"1","position":{{"x":1,"y":1}},"category":"{category}"}}"#)
}

#[test]
fn the_real_halls_are_imported_whole() {
    for (name, seats, zones) in [("theatre", 494, 2), ("arena", 16_254, 72), ("stadium", 56_670, 120)] {
        let json = hall(name);
        let plan = import_plan(&json).unwrap();
        assert_eq!((plan.capacity(), plan.sections().len()), (seats, zones), "{name}");
        for index in (0..seats as u32).map(SeatIndex) {
            assert_eq!(plan.seat(plan.seat_id(index)), Some(index), "{name}");
        }
        let covered: u32 = plan.segments().iter().map(|segment| segment.seats.len() as u32).sum();
        assert_eq!(covered as usize, seats, "{name}: every seat lies in one segment");
        let again = import_plan(&json).unwrap();
        assert_eq!(again.hash(), plan.hash(), "{name}");
        assert_eq!(plan_form::plan_hash(&plan_form::draft_of(&plan)), plan.hash(), "{name}");
    }
}

#[test]
fn the_theatres_aisles_part_its_rows() {
    let plan = import_plan(&hall("theatre")).unwrap();
    let row = &plan.rows()[0];
    let segments: Vec<_> = plan.segments().iter().filter(|segment| segment.row == 0).collect();
    let sizes: Vec<_> = segments.iter().map(|segment| segment.seats.len()).collect();
    assert_eq!(sizes, [4, 8, 4], "row {} has an aisle on either side of its middle", row.label);
    let middle = plan.seat("S-A-8").unwrap();
    assert_eq!(plan.seat_segment(middle), plan.seat_segment(plan.seat("S-A-5").unwrap()));
    assert_ne!(plan.seat_segment(middle), plan.seat_segment(plan.seat("S-A-4").unwrap()));
    let vip = plan.category("VIP").unwrap();
    assert_eq!(plan.best_segments(vip)[0], plan.seat_segment(middle), "the middle of the first row is best");
    assert_eq!(plan.full_label(middle), "Stalls A-8");
    assert_eq!(plan.seat_position(middle), (578.0, 120.0), "zone, row and seat add up");
}

#[test]
fn every_row_of_a_real_hall_is_parted_only_where_the_drawing_is() {
    for name in ["arena", "stadium"] {
        let plan = import_plan(&hall(name)).unwrap();
        let mut parts: BTreeMap<u32, u32> = BTreeMap::new();
        plan.segments().iter().for_each(|segment| *parts.entry(segment.row).or_default() += 1);
        assert_eq!(parts.len(), plan.rows().len(), "{name}: no row without seats");
        // Blocks of both halls have no aisles inside of a row.
        assert!(parts.values().all(|&segments| segments == 1), "{name}");
    }
}

#[test]
fn a_small_plan_needs_no_more_than_the_schema_asks_for() {
    let json = r#"{"name":"p","categories":[{"name":"A"}],"zones":[{"zone_id":"z","uuid":"u","areas":[{"shape":"circle"}],
        "position":{"x":100,"y":10},"rows":[{"row_number":"1","row_number_position":"both","position":{"x":5,"y":0.5},
        "seats":[{"seat_guid":"g","seat_number":"7","uuid":"u","position":{"x":-1.5,"y":0},"category":"A"}]}]}]}"#;
    let draft = import(json.as_bytes()).unwrap();
    let seat = &draft.sections[0].rows[0].seats[0];
    assert_eq!((seat.x, seat.y, seat.label.as_str()), (103.5, 10.5, "7"));
    assert_eq!(draft.size, (143.5, 50.5), "as large as its seats ask for");
    assert_eq!(draft.categories[0].color, COLORS[0]);
}

#[test]
fn mistakes_of_types_and_of_sense_are_named_together_by_their_paths() {
    let rows = [
        format!(r#"{{"row_number":"1","seats":[{},{}]}}"#, seat("a", "A"), seat("b", "Balkon")),
        r#"{"row_number":2,"seats":"none"}"#.to_owned(),
        format!(
            r#"{{"row_number":"3","position":[1,2],"seats":[{},7,{{"seat_guid":"","seat_number":4,"position":{{"x":"1"}}}}]}}"#,
            seat("a", "A")
        ),
    ];
    assert_eq!(
        fields(&plan(&rows.join(","))),
        [
            "zones[0].rows[1].row_number",
            "zones[0].rows[1].seats",
            "zones[0].rows[2].position",
            "zones[0].rows[2].seats[1]",
            "zones[0].rows[2].seats[2].seat_guid",
            "zones[0].rows[2].seats[2].seat_number",
            "zones[0].rows[2].seats[2].category",
            "zones[0].rows[2].seats[2].position.x",
            "zones[0].rows[2].seats[2].position.y",
            "zones[0].rows[0].seats[1].category",
            "zones[0].rows[2].seats[0].seat_guid",
        ]
    );
}

#[test]
fn messages_say_what_is_expected() {
    let row = format!(r#"{{"row_number":"1","seats":[{},{}]}}"#, seat("a", "B"), seat("a", "A"));
    assert_eq!(
        mistakes(&plan(&row)),
        [
            ("zones[0].rows[0].seats[0].category".into(), "no category is named \"B\"".into()),
            ("zones[0].rows[0].seats[1].seat_guid".into(), "two seats have the id \"a\"".into()),
        ]
    );
    assert_eq!(mistakes(&plan(r#"{"row_number":"1"}"#))[0].1, "is missing");
}

#[test]
fn what_only_follows_from_an_unread_list_is_not_told() {
    assert_eq!(fields(r#"{"categories":[{"name":"A"}],"zones":{}}"#), ["zones"]);
    let row = format!(r#"{{"row_number":"1","seats":[{}]}}"#, seat("a", "A"));
    let zones = format!(r#"[{{"position":{{"x":0,"y":0}},"rows":[{row}]}}]"#);
    assert_eq!(fields(&format!(r#"{{"zones":{zones}}}"#)), ["categories"]);
    let wrong = r#"[{"name":"A"},{"name":"A"},{"color":"red"},{"name":" ","color":"url(x);"},5]"#;
    assert_eq!(
        fields(&format!(r#"{{"categories":{wrong},"zones":{zones}}}"#)),
        ["categories[1].name", "categories[2].name", "categories[3].name", "categories[3].color", "categories[4]"]
    );
}

#[test]
fn sizes_and_places_must_be_numbers_that_can_be_drawn() {
    let seats = format!(r#"{{"row_number":"1","seats":[{}]}}"#, seat("a", "A"));
    let sized = plan(&seats).replacen('{', r#"{"size":{"width":0,"height":null},"#, 1);
    assert_eq!(fields(&sized), ["size.width", "size.height"]);
    let far = plan(&seats).replace(r#""x":1"#, r#""x":1e300"#);
    assert_eq!(fields(&far), ["zones[0].rows[0].seats[0].position"]);
}

#[test]
fn what_is_no_plan_at_all_is_refused_at_its_root() {
    for json in ["", "{", "[]", "7", "null", "\"plan\"", "\u{1}"] {
        assert_eq!(fields(json), [""], "{json:?}");
    }
    assert_eq!(import(&[b'"', 0xff, b'"']).unwrap_err()[0].field, "");
    assert_eq!(fields("{}"), ["categories", "zones"]);
    assert_eq!(fields(r#"{"categories":[{"name":"A"}],"zones":[]}"#), ["zones"]);
    assert_eq!(fields(r#"{"zones":[],"zones":[]}"#), [""], "a member given twice");
}

#[test]
fn a_wholly_wrong_file_is_told_in_a_hundred_mistakes() {
    let seats = vec!["0"; 5000].join(",");
    assert_eq!(fields(&plan(&format!(r#"{{"row_number":"1","seats":[{seats}]}}"#))).len(), 100);
    let same = vec![seat("a", "Z"); 5000].join(",");
    assert_eq!(fields(&plan(&format!(r#"{{"row_number":"1","seats":[{same}]}}"#))).len(), 100);
}
