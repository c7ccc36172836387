//! The best seats together: the nearest row, around the centre line, never across an aisle or into another category.

use crate::sale::Rejection;
use crate::sale::Unavailable::{NoBlock, SoldOut};
use crate::sale::tests::stage::Stage;

fn on_sale(rows: &[&str]) -> Stage {
    let mut stage = Stage::hall(rows).rules(|config| config.max_seats_per_buyer = 100);
    stage.at("10:00:00");
    stage
}

#[test]
fn they_grow_around_the_centre_of_the_nearest_row() {
    let mut stage = on_sale(&["VVVVVVVVVV", "VVVVVVVVVV"]);
    stage.buyer(1).gets_best("V", ["A-5", "A-6"]);
    stage.buyer(2).gets_best("V", ["A-3", "A-4"]);
    stage.buyer(3).gets_best("V", ["A-7", "A-8"]);
    stage.shows("A", "..hhhhhh..");
    stage.buyer(4).gets_best("V", ["B-4", "B-5", "B-6"]);
    stage.buyer(5).gets_best("V", ["A-1", "A-2"]);
}

#[test]
fn one_seat_is_the_middle_one() {
    let mut stage = on_sale(&["VVVVVVV"]);
    stage.buyer(1).gets_best("V", ["A-4"]);
}

#[test]
fn a_whole_row_is_a_block_too() {
    let mut stage = on_sale(&["VVVVVVVVVVVVVVVVVVVV", "VVVVVVVVVVVVVVVVVVVVV"]);
    let names: Vec<String> = (1..=20).map(|seat| format!("A-{seat}")).collect();
    let row: [&str; 20] = std::array::from_fn(|at| names[at].as_str());
    stage.buyer(1).gets_best("V", row);
    stage.shows("A", "hhhhhhhhhhhhhhhhhhhh");
}

#[test]
fn every_quantity_up_to_twenty_finds_the_row_that_is_long_enough() {
    for quantity in 1..=20_usize {
        let exact = "V".repeat(quantity);
        let shorter = "V".repeat(quantity - 1);
        let rows = if quantity > 1 { vec![shorter.as_str(), exact.as_str()] } else { vec![exact.as_str()] };
        let mut stage = on_sale(&rows);
        let category = stage.sale.plan().unwrap().category("V").unwrap();
        let view = stage.buyer(1).tries(crate::sale::Selection::best(category, quantity as u16));
        assert_eq!(view.unwrap().seats.len(), quantity);
        stage.shows(if quantity > 1 { "B" } else { "A" }, &"h".repeat(quantity));
        let left = (quantity as u16) - 1;
        let reason = if left > 0 { NoBlock } else { SoldOut };
        stage.buyer(2).cannot_hold_best("V", quantity as u16).says(reason, left).nothing_instead();
    }
}

#[test]
fn never_across_an_aisle() {
    let mut stage = on_sale(&["VVV_VVVV_VVV", "VVVVVVVVVV"]);
    stage.buyer(1).gets_best("V", ["A-4", "A-5", "A-6", "A-7"]);
    stage.buyer(2).gets_best("V", ["B-5", "B-6", "B-7", "B-8"]);
    stage.buyer(3).gets_best("V", ["A-1", "A-2", "A-3"]);
    stage.buyer(4).gets_best("V", ["A-8", "A-9", "A-10"]);
}

#[test]
fn beside_an_aisle_they_lie_towards_the_centre() {
    let mut stage = on_sale(&["VVVVV__VVVVV"]);
    stage.buyer(1).gets_best("V", ["A-4", "A-5"]);
    stage.buyer(2).gets_best("V", ["A-2", "A-3"]);
    stage.buyer(3).gets_best("V", ["A-6", "A-7"]);
}

#[test]
fn never_in_two_categories() {
    let mut stage = on_sale(&["RRVVVVRR", "RRRRRRRR"]);
    stage.buyer(1).gets_best("V", ["A-3", "A-4", "A-5", "A-6"]);
    stage.buyer(2).gets_best("R", ["B-3", "B-4", "B-5", "B-6"]);
    stage.buyer(3).gets_best("R", ["A-1", "A-2"]);
    stage.buyer(4).gets_best("R", ["A-7", "A-8"]);
    stage.buyer(5).cannot_hold_best("V", 1).says(SoldOut, 0).nothing_instead();
}

#[test]
fn in_a_hall_full_of_holes_the_nearest_hole_that_is_large_enough() {
    let mut stage = on_sale(&["VVVVVVVVVV", "VVVVVVVVVV", "VVVVVVVVVV"]);
    stage.begins_with("A", ".h.h..h.h.").begins_with("B", "..h...h..h").begins_with("C", "hhhhhh....");
    stage.buyer(1).gets_best("V", ["B-4", "B-5", "B-6"]);
    stage.buyer(2).gets_best("V", ["C-7", "C-8", "C-9", "C-10"]);
    stage.buyer(3).gets_best("V", ["A-5", "A-6"]);
    stage.buyer(4).gets_best("V", ["B-8", "B-9"]);
    stage.buyer(5).gets_best("V", ["B-1", "B-2"]);
    stage.buyer(6).cannot_hold_best("V", 2).says(NoBlock, 1).try_instead(["A-1", "A-3"]);
    stage.buyer(6).gets_best("V", ["A-3"]);
}

#[test]
fn seats_given_back_are_given_again() {
    let mut stage = on_sale(&["VVVV"]);
    let first = stage.buyer(1).gets_best("V", ["A-1", "A-2", "A-3", "A-4"]);
    stage.buyer(2).cannot_hold_best("V", 1).says(SoldOut, 0).nothing_instead();
    stage.buyer(1).changes(first, ["A-1"]);
    stage.buyer(2).gets_best("V", ["A-2", "A-3"]);
    stage.buyer(1).releases(first);
    let alone = stage.buyer(3).gets_best("V", ["A-1"]);
    stage.buyer(3).releases(alone);
    stage.at("10:05:00").buyer(3).gets_best("V", ["A-1", "A-2", "A-3", "A-4"]);
}

#[test]
fn none_and_too_many_are_no_block() {
    let mut stage = on_sale(&["VVVV"]);
    stage.buyer(1).cannot_hold_best("V", 0).says(NoBlock, 0).nothing_instead();
    stage.buyer(1).cannot_hold_best("V", 5).says(NoBlock, 4).nothing_instead();
    stage.buyer(1).cannot_hold_best("V", 100).says(NoBlock, 4).nothing_instead();
    stage.buyer(1).cannot_hold_best("V", 101).because(Rejection::SeatLimitExceeded { limit: 100, has: 0 });
}

#[test]
fn with_many_rows_the_first_that_serves() {
    let rows = vec!["VVVVV"; 200];
    let mut stage = on_sale(&rows);
    let category = stage.sale.plan().unwrap().category("V").unwrap();
    for row in 0..200_u32 {
        let view = stage.buyer(u128::from(row) + 1).tries(crate::sale::Selection::best(category, 3)).unwrap();
        assert_eq!(view.seats.as_slice(), [1, 2, 3].map(|at| crate::id::SeatIndex(row * 5 + at)));
    }
    stage.buyer(999).cannot_hold_best("V", 3).says(NoBlock, 1).try_instead(["0-1", "0-5", "1-1"]);
    let view = stage.buyer(999).tries(crate::sale::Selection::best(category, 1)).unwrap();
    assert_eq!(view.seats.as_slice(), [crate::id::SeatIndex(0)]);
}

#[test]
fn an_aisle_shows_even_in_a_row_of_three() {
    let mut stage = on_sale(&["VV__V", "VVV"]);
    stage.buyer(1).gets_best("V", ["B-1", "B-2", "B-3"]);
}
