//! Halls made of templates, and templates with mistakes.
#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::plan_form;

fn fields(json: &str) -> Vec<String> {
    import(json.as_bytes()).unwrap_err().into_iter().map(|mistake| mistake.field).collect()
}

#[test]
fn a_template_makes_a_hall_with_its_categories_in_the_order_of_the_rows() {
    let draft =
        import(br#"{"rows":["B","A","Z"],"seatsPerRow":3,"gradeMapping":{"A":"VIP","B":"R","Z":"R"}}"#).unwrap();
    let plan = plan_form::compile(&draft).unwrap();
    assert_eq!(plan.capacity(), 9);
    assert_eq!(plan.categories().iter().map(|category| category.name.as_str()).collect::<Vec<_>>(), ["R", "VIP"]);
    assert_ne!(plan.categories()[0].color, plan.categories()[1].color);
    let seat = plan.seat("A-3").unwrap();
    assert_eq!((seat.0, plan.seat_label(seat), plan.full_label(seat).as_str()), (5, "3", "A-3"));
    let beside = |neighbour: &str, id: &str| plan.seat_beside(plan.seat(neighbour).unwrap(), id);
    assert_eq!(
        (beside("A-2", "A-3"), beside("Z-3", "A-3"), beside("B-1", "A-3")),
        (Some(seat), Some(seat), Some(seat))
    );
    assert_eq!((beside("A-2", "A-4"), beside("Z-3", "")), (None, None));
    assert_eq!(plan.seat_position(seat), (3.0, 2.0));
    assert_eq!(plan.segments().len(), 3, "no aisles");
    assert_eq!(plan.segments()[0].centre, 1.0);
}

#[test]
fn every_mistake_is_named() {
    assert_eq!(
        fields(r#"{"rows":["A","B","A"," ",5],"seatsPerRow":2.5,"gradeMapping":{"A":7}}"#),
        [
            "seatTemplate.rows[2]",
            "seatTemplate.rows[3]",
            "seatTemplate.rows[4]",
            "seatTemplate.seatsPerRow",
            "seatTemplate.gradeMapping.A",
            "seatTemplate.gradeMapping.B",
        ]
    );
    assert_eq!(fields("{}"), ["seatTemplate.rows", "seatTemplate.seatsPerRow", "seatTemplate.gradeMapping"]);
    assert_eq!(
        fields(r#"{"rows":[],"seatsPerRow":0,"gradeMapping":[]}"#),
        ["seatTemplate.rows", "seatTemplate.seatsPerRow", "seatTemplate.gradeMapping"]
    );
    // References are checked both ways, unless the rows themselves could not be read.
    assert_eq!(
        fields(r#"{"rows":["A"],"seatsPerRow":1,"gradeMapping":{"A":"VIP","C":"S","a":"S"}}"#),
        ["seatTemplate.gradeMapping.C"],
        "one cause, whose message names the other place, too"
    );
    assert_eq!(fields(r#"{"rows":7,"seatsPerRow":1,"gradeMapping":{"A":"VIP"}}"#), ["seatTemplate.rows"]);
    assert_eq!(fields("5"), ["seatTemplate"]);
    assert_eq!(fields("{"), ["seatTemplate"]);
}

#[test]
fn the_bounds_hold() {
    let template = |rows: usize, seats: i64| {
        let names: Vec<_> = (0..rows).map(|row| format!("\"{row}\"")).collect();
        let grades: Vec<_> = (0..rows).map(|row| format!("\"{row}\":\"A\"")).collect();
        format!(r#"{{"rows":[{}],"seatsPerRow":{seats},"gradeMapping":{{{}}}}}"#, names.join(","), grades.join(","))
    };
    assert_eq!(import(template(1000, 1).as_bytes()).unwrap().sections[0].rows.len(), 1000);
    assert_eq!(import(template(1, 1000).as_bytes()).unwrap().sections[0].rows[0].seats.len(), 1000);
    assert_eq!(fields(&template(1001, 1)), ["seatTemplate.rows"]);
    assert_eq!(fields(&template(1, 1001)), ["seatTemplate.seatsPerRow"]);
    assert_eq!(fields(&template(1, -1)), ["seatTemplate.seatsPerRow"]);
}

#[test]
fn one_cause_is_one_mistake_also_of_a_template() {
    let names: Vec<String> = (0..500).map(|row| format!("\"R{row}\"")).collect();
    let json = format!(r#"{{"rows":[{}],"seatsPerRow":1,"gradeMapping":{{}}}}"#, names.join(","));
    let found = import(json.as_bytes()).unwrap_err();
    assert_eq!((found.len(), found[0].field.as_str()), (1, "seatTemplate.gradeMapping.R0"));
    assert!(
        found[0].message.starts_with("is missing (500 times: seatTemplate.gradeMapping.R0, "),
        "{}",
        found[0].message
    );
    let twice = import(br#"{"rows":["A","B","A"],"seatsPerRow":1,"gradeMapping":{"A":"S","B":"S"}}"#).unwrap_err();
    assert_eq!(twice[0].message, "two rows have one name: \"A\" at seatTemplate.rows[0] and seatTemplate.rows[2]");
}

#[test]
fn the_first_row_is_in_front_whatever_it_is_called() {
    let plan = import_plan(br#"{"rows":["Z","Y","X"],"seatsPerRow":4,"gradeMapping":{"X":"S","Y":"S","Z":"S"}}"#, None);
    let plan = plan.unwrap().plan;
    assert_eq!(plan.rows().iter().map(|row| &*row.label).collect::<String>(), "ZYX");
    assert_eq!(plan.ranking(), [0, 1, 2]);
    let stage = Stage { x: 2.0, y: 99.0, source: StageSource::Given };
    let plan = import_plan(br#"{"rows":["Z","Y"],"seatsPerRow":4,"gradeMapping":{"Y":"S","Z":"S"}}"#, Some(stage));
    assert_eq!(&*plan.unwrap().plan.rows()[0].label, "Y");
}
