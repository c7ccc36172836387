//! Import of the three real halls, and of documents with mistakes.
#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;
use onsale_engine::id::SeatIndex;
use onsale_engine::plan::StageSource;
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
        let plan = import_plan(&json, None).unwrap().plan;
        assert_eq!((plan.capacity(), plan.sections().len()), (seats, zones), "{name}");
        for index in (0..seats as u32).map(SeatIndex) {
            assert_eq!(plan.seat(plan.seat_id(index)), Some(index), "{name}");
        }
        let covered: u32 = plan.segments().iter().map(|segment| segment.seats.len() as u32).sum();
        assert_eq!(covered as usize, seats, "{name}: every seat lies in one segment");
        let again = import_plan(&json, None).unwrap();
        assert_eq!(again.plan.hash(), plan.hash(), "{name}");
        assert_eq!((again.warnings, again.shapes), (vec![], vec![]), "{name}");
    }
}

#[test]
fn the_theatres_aisles_part_its_rows() {
    let plan = import_plan(&hall("theatre"), None).unwrap().plan;
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
        let plan = import_plan(&hall(name), None).unwrap().plan;
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
    assert_eq!(draft.categories[0].color, "", "chosen when it is compiled");
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
            (
                "zones[0].rows[0].seats[1].seat_guid".into(),
                "two seats have one id: \"a\" at zones[0].rows[0].seats[0] and zones[0].rows[0].seats[1]".into(),
            ),
        ]
    );
    assert_eq!(mistakes(&plan(r#"{"row_number":"1"}"#))[0].1, "is missing");
}

#[test]
fn what_only_follows_from_an_unread_list_is_not_reported() {
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
fn one_cause_is_one_mistake_that_says_how_often() {
    let seats = vec!["0"; 5000].join(",");
    assert_eq!(
        mistakes(&plan(&format!(r#"{{"row_number":"1","seats":[{seats}]}}"#))),
        [(
            "zones[0].rows[0].seats[0]".to_owned(),
            "must be an object (5000 times: zones[0].rows[0].seats[0], zones[0].rows[0].seats[1], \
             zones[0].rows[0].seats[2], …)"
                .to_owned()
        )]
    );
    let same = vec![seat("a", "Z"); 5000].join(",");
    let found = mistakes(&plan(&format!(r#"{{"row_number":"1","seats":[{same}]}}"#)));
    assert_eq!(found.len(), 2);
    assert!(found[0].1.starts_with("no category is named \"Z\" (5000 times: zones[0].rows[0].seats[0].category, "));
    assert!(found[1].1.starts_with(
        "two seats have one id (4999 times: \"a\" at zones[0].rows[0].seats[0] and zones[0].rows[0].seats[1], \"a\" at "
    ));
}

#[test]
fn more_causes_than_are_named_are_counted() {
    let seats: Vec<String> = (0..150).map(|n| seat(&format!("s{n}"), &format!("C{n}"))).collect();
    let found = mistakes(&plan(&format!(r#"{{"row_number":"1","seats":[{}]}}"#, seats.join(","))));
    assert_eq!(found.len(), 91);
    assert_eq!(found[90], (String::new(), "and 60 more mistakes, of other kinds".to_owned()));
}

fn case(name: &str) -> Vec<u8> {
    std::fs::read(format!("{}/fixtures/plans/{name}.json", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

#[test]
fn a_repeated_id_names_both_places() {
    let found = import(&case("same-id-twice")).unwrap_err();
    assert_eq!(
        found,
        [FieldMistake {
            field: "zones[0].rows[1].seats[0].seat_guid".into(),
            message: "two seats have one id: \"H-2\" at zones[0].rows[0].seats[1] and zones[0].rows[1].seats[0]".into(),
        }]
    );
}

#[test]
fn texts_are_composed() {
    let plan = import_plan(&case("decomposed-hangul"), None).unwrap().plan;
    assert_eq!(plan.categories()[0].name, "특석");
    assert!(plan.category("특석").is_some());
    let decomposed = r#"{"categories":[{"name":"\u1100\u1161"}],"zones":[{"name":"\u1102\u1161","position":{"x":0,"y":0},"rows":[
        {"row_number":"\u1103\u1161","row_label":"\u1103\u1161 %s","seat_label":"\u1105\u1161 %s","seats":[
        {"seat_guid":"\u1106\u1161","seat_number":"\u1107\u1161","position":{"x":0,"y":0},"category":"가"}]}]}]}"#;
    let plan = import_plan(decomposed.as_bytes(), None).unwrap().plan;
    let seat = plan.seat("마").unwrap();
    assert_eq!(plan.full_label(seat), "나, 다 다, 라 바");
}

#[test]
fn a_byte_order_mark_is_skipped_and_utf_16_is_named() {
    let json = case("row-listed-by-number");
    let marked = [b"\xef\xbb\xbf".as_slice(), &json].concat();
    assert_eq!(import(&marked).unwrap(), import(&json).unwrap());
    let text = String::from_utf8(json).unwrap();
    let utf_16 = |bytes: fn(u16) -> [u8; 2]| text.encode_utf16().flat_map(bytes).collect::<Vec<u8>>();
    let (little, big) = (utf_16(u16::to_le_bytes), utf_16(u16::to_be_bytes));
    for bytes in [[b"\xff\xfe".as_slice(), &little].concat(), [b"\xfe\xff".as_slice(), &big].concat(), little, big] {
        let found = import(&bytes).unwrap_err();
        assert_eq!((found.len(), found[0].field.as_str()), (1, ""));
        assert!(found[0].message.contains("UTF-16"), "{}", found[0].message);
    }
}

#[test]
fn rows_and_seats_are_called_as_pretix_calls_them() {
    let labelled = |members: &str| {
        let row = format!(r#"{{"row_number":"A",{members}"seats":[{}]}}"#, seat("a", "A"));
        let plan = import_plan(plan(&row).as_bytes(), None).unwrap().plan;
        plan.full_label(SeatIndex(0))
    };
    assert_eq!(labelled(""), "A-1");
    assert_eq!(labelled(r#""row_label":null,"seat_label":"","#), "A-1");
    assert_eq!(labelled(r#""row_label":"Reihe %s","seat_label":"Platz %s","#), "Reihe A, Platz 1");
    assert_eq!(labelled(r#""row_label":"Table %s","#), "Table A, Seat 1");
    assert_eq!(
        fields(&plan(&format!(r#"{{"row_number":"A","row_label":7,"seats":[{}]}}"#, seat("a", "A")))),
        ["zones[0].rows[0].row_label"]
    );
}

#[test]
fn a_label_that_two_seats_carry_is_no_mistake_but_a_warning() {
    let row = |ids: &[&str]| {
        format!(
            r#"{{"row_number":"1","position":{{"x":0,"y":{}}},"seats":[{}]}}"#,
            ids.len() * 100,
            ids.iter().map(|id| seat(id, "A")).collect::<Vec<_>>().join(",")
        )
    };
    let imported = import_plan(plan(&[row(&["a"]), row(&["b", "c"])].join(",")).as_bytes(), None).unwrap();
    assert_eq!(imported.warnings.len(), 1);
    assert_eq!((imported.warnings[0].code.as_str(), imported.warnings[0].count), ("DUPLICATE_LABEL", 1));
    let message = &imported.warnings[0].message;
    assert!(["\"1-1\"", "\"a\"", "\"b\"", "\"c\""].iter().all(|part| message.contains(part)), "{message}");
    let left_out = plan(&row(&["a"])).replacen("\"zones\"", "\"areas\":[{\"shape\":\"circle\"}],\"zones\"", 1);
    let imported = import_plan(left_out.as_bytes(), None).unwrap();
    assert_eq!((imported.warnings[0].code.as_str(), imported.warnings[0].count), ("AREA_LEFT_OUT", 1));
}

#[test]
fn kinds_pairs_and_priorities_are_read() {
    let with = |members: &str| seat("a", "A").replacen('{', &format!("{{{members},"), 1);
    let of = |seats: &str| plan(&format!(r#"{{"row_number":"1","seats":[{seats}]}}"#));
    let draft = import(of(&with(r#""kind":"WHEELCHAIR""#)).as_bytes()).unwrap();
    assert_eq!(draft.sections[0].rows[0].seats[0].kind, SeatKind::Wheelchair);
    let wrong = mistakes(&of(&with(r#""kind":"SOFA""#)));
    assert_eq!(wrong[0].0, "zones[0].rows[0].seats[0].kind");
    assert!(wrong[0].1.contains("WHEELCHAIR"));
    let alone = mistakes(&of(&with(r#""pair":"p""#)));
    assert_eq!(alone[0].0, "zones[0].rows[0].seats[0].pair");
    let prior = |value: &str| plan(&format!(r#"{{"row_number":"1","priority":{value},"seats":[{}]}}"#, seat("a", "A")));
    assert_eq!(import(prior("-3").as_bytes()).unwrap().sections[0].rows[0].priority, Some(-3));
    assert_eq!(import(prior("null").as_bytes()).unwrap().sections[0].rows[0].priority, None);
    for wrong in ["1.5", "1e10", "\"1\""] {
        assert_eq!(fields(&prior(wrong)), ["zones[0].rows[0].priority"]);
    }
}

/// Shuffles every list.
fn shuffle(value: &mut serde_json::Value, random: &mut rand::rngs::StdRng) {
    use rand::seq::SliceRandom;
    if let Some(items) = value.as_array_mut() {
        items.shuffle(random);
        items.iter_mut().for_each(|item| shuffle(item, random));
    } else if let Some(members) = value.as_object_mut() {
        members.values_mut().for_each(|member| shuffle(member, random));
    }
}

#[test]
fn a_document_in_any_order_is_the_same_plan() {
    use rand::SeedableRng;
    for (name, json) in
        [("theatre", hall("theatre")), ("stalls", case("stalls-and-balcony")), ("row", case("row-listed-by-number"))]
    {
        let expected = import_plan(&json, None).unwrap().plan;
        for seed in 0..20 {
            let mut shuffled: serde_json::Value = serde_json::from_slice(&json).unwrap();
            shuffle(&mut shuffled, &mut rand::rngs::StdRng::seed_from_u64(seed));
            let plan = import_plan(shuffled.to_string().as_bytes(), None).unwrap().plan;
            assert_eq!(plan.hash(), expected.hash(), "{name}, seed {seed}");
        }
    }
}

#[test]
fn a_stage_in_the_drawing_is_found_and_one_that_is_given_wins() {
    let mut json: serde_json::Value = serde_json::from_slice(&hall("theatre")).unwrap();
    json["zones"][0]["areas"] = serde_json::json!([
        { "shape": "rectangle", "position": { "x": 389, "y": 700 }, "rectangle": { "width": 400, "height": 60 },
          "text": { "text": "STAGE", "position": { "x": 0, "y": 0 } } }
    ]);
    let json = json.to_string();
    let stage = |given| import_plan(json.as_bytes(), given).unwrap().plan.stage().unwrap();
    assert_eq!(stage(None), Stage { x: 589.0, y: 850.0, source: StageSource::Area });
    let given = Stage { x: 1.0, y: 2.0, source: StageSource::Given };
    assert_eq!(stage(Some(given)), given);

    let named = plan(&format!(r#"{{"row_number":"1","seats":[{}]}}"#, seat("a", "A"))).replacen(
        "\"zones\":[",
        "\"zones\":[{\"name\":\"Bühne\",\"position\":{\"x\":10,\"y\":90},\"rows\":[],\"areas\":[{\"shape\":\"circle\",\"circle\":{\"radius\":5}}]},",
        1,
    );
    let stage = import_plan(named.as_bytes(), None).unwrap().plan.stage().unwrap();
    assert_eq!(
        stage,
        Stage { x: 10.0, y: 90.0, source: StageSource::Area },
        "a zone that is there for the stage alone"
    );
}
