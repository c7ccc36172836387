//! What tickets call seats.

use super::*;

fn label(row: RowDraft, section_name: &str) -> String {
    let plan = compiled(&draft(vec![section(section_name, vec![row])]));
    plan.full_label(SeatIndex(0))
}

fn named(label: &str, name: Option<&str>, seat_name: Option<&str>) -> RowDraft {
    let seats = vec![seat("x-7", 0.0, 0.0)];
    RowDraft { name: name.map(str::to_owned), seat_name: seat_name.map(str::to_owned), ..row(label, seats) }
}

#[test]
fn without_names_they_are_numbers() {
    assert_eq!(label(named("A", None, None), "Stalls"), "Stalls A-7");
    assert_eq!(label(named("A", None, None), ""), "A-7");
}

#[test]
fn an_empty_number_leaves_nothing_behind() {
    assert_eq!(label(named("", None, None), "Stalls"), "Stalls 7");
    assert_eq!(label(named("", None, None), ""), "7");
    assert_eq!(label(named("", None, Some("Seat %s")), "Stalls"), "Stalls, Seat 7");
    let mut row = named("A", None, None);
    row.seats[0].label = String::new();
    assert_eq!(label(row, ""), "A");
}

#[test]
fn names_of_rows_and_seats_are_written_as_pretix_writes_them() {
    assert_eq!(label(named("A", Some("Reihe A"), Some("Platz %s")), "Parkett"), "Parkett, Reihe A, Platz 7");
    assert_eq!(label(named("4", Some("Table 4"), None), ""), "Table 4, Seat 7");
    assert_eq!(label(named("4", None, Some("%s (%s)")), "Hall"), "Hall, Row 4, 7 (7)");
}
