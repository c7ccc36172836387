//! Plans of small on-sales whose outcome can be worked out by hand.
#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;

fn crowd(buyers: u32) -> Crowd {
    Crowd { buyers, within: 2.0, choose: 10.0, pay: 20.0, abandon: 0, leave: 0, wants: 2.0, seed: 7 }
}

fn rules(rate: u32) -> Rules {
    Rules { rate, capacity: 50_000, active_limit: None, token_seconds: 600, hold_seconds: 300 }
}

fn seconds(after: Option<Duration>) -> f64 {
    after.unwrap().as_secs_f64()
}

#[test]
fn a_line_that_moves_faster_than_people_come_is_empty_when_the_last_has_come() {
    let outcome = simulate(&plain_hall(2_000).unwrap(), &rules(1_000), &crowd(500), false);
    assert!((1.5..2.1).contains(&seconds(outcome.drained_after)), "{:?}", outcome.drained_after);
}

#[test]
fn a_line_drains_at_its_rate_and_everybody_gets_seats_where_there_are_enough() {
    let outcome = simulate(&plain_hall(2_000).unwrap(), &rules(10), &crowd(500), false);
    assert!((49.0..51.5).contains(&seconds(outcome.drained_after)), "{:?}", outcome.drained_after);
    assert_eq!((outcome.admitted, outcome.paid, outcome.went_without), (500, 500, 0));
    assert!((900..1100).contains(&outcome.sold), "two each: {}", outcome.sold);
    assert_eq!(outcome.sold_out_after, None);
    assert!(outcome.violations.is_empty());
    let busiest = outcome.seconds().iter().map(|second| second.entered).max().unwrap();
    assert!((200..300).contains(&busiest), "{busiest} came in one second");
}

#[test]
fn the_last_seat_is_sold_when_as_many_as_want_all_of_them_were_let_in() {
    let outcome = simulate(&plain_hall(200).unwrap(), &rules(10), &crowd(1_000), false);
    // 100 buyers, or a few more who find nothing; the last one needs at most 2 s to receive it, 15 to choose, 30 to pay.
    assert!((25.0..60.0).contains(&seconds(outcome.sold_out_after)), "{:?}", outcome.sold_out_after);
    assert_eq!(outcome.sold, 200);
    assert!(outcome.left_without > 500 && outcome.admitted < 400);
    assert_eq!(outcome.left_without + outcome.admitted, 1_000);
}

#[test]
fn holds_that_are_never_paid_come_back_and_are_sold_later() {
    let half = Crowd { abandon: 50, ..crowd(5_000) };
    let outcome = simulate(&plain_hall(200).unwrap(), &rules(10), &half, false);
    assert_eq!(outcome.sold, 200);
    assert!(outcome.holds_expired > 40, "{}", outcome.holds_expired);
    assert!(seconds(outcome.sold_out_after) > 300.0, "only after the first holds are over");
}

#[test]
fn a_full_line_refuses_and_those_who_leave_make_it_shorter() {
    let full = Rules { capacity: 300, ..rules(5) };
    let outcome = simulate(&plain_hall(2_000).unwrap(), &full, &crowd(500), false);
    assert!((180..=200).contains(&outcome.refused_at_the_door), "{}", outcome.refused_at_the_door);
    let leaving = Crowd { leave: 50, ..crowd(500) };
    let outcome = simulate(&plain_hall(2_000).unwrap(), &rules(5), &leaving, false);
    assert!(outcome.left > 100, "{}", outcome.left);
    assert!(seconds(outcome.drained_after) < 80.0, "{:?}", outcome.drained_after);
}

#[test]
fn a_plan_is_a_function_of_its_numbers_and_shows_all_of_them() {
    let config = Config::load(None, []).unwrap();
    let plan = plain_hall(500).unwrap();
    let run = || simulate(&plan, &rules(10), &crowd(400), true);
    let (one, other) = (run(), run());
    assert_eq!(one.seconds(), other.seconds());
    let actual = text::plan(&one, &config);
    for part in ["the line is empty after", "memory", "log", "people waiting, at most", "█"] {
        assert!(actual.contains(part), "{part} is not in\n{actual}");
    }
    let page = page::page("A <plan>", &[one.clone(), other], &config);
    assert!(page.contains("A &lt;plan&gt;") && page.matches("<path").count() == 4);
    assert!(one.memory_bytes(&config).unwrap() > 64 << 20);
    assert!(one.log_bytes(&config) > 400 * LOG_LINE_BYTES);
}
