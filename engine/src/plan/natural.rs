//! The natural order of labels, as people read them: 2 before 10, `B` before `AA`. Owns that order, which plans are laid out
//! by; must never depend on a locale.

use std::cmp::Ordering;

/// Words of up to so many letters count like numbers: the shorter one comes first, so that `Z` is followed by `AA`.
const COUNTING_LETTERS: usize = 3;

/// Compares two labels. Only equal texts are equal.
pub(super) fn natural(a: &str, b: &str) -> Ordering {
    let (mut left, mut right) = (a, b);
    loop {
        let order = match (left.is_empty(), right.is_empty()) {
            (true, true) => return a.cmp(b),
            (true, false) => return Ordering::Less,
            (false, true) => return Ordering::Greater,
            (false, false) => {
                let (first, second) = (take_run(&mut left), take_run(&mut right));
                compare_runs(first, second)
            }
        };
        if order != Ordering::Equal {
            return order;
        }
    }
}

/// The digits, or whatever else, that a text begins with.
fn take_run<'t>(text: &mut &'t str) -> &'t str {
    let digits = text.starts_with(|c: char| c.is_ascii_digit());
    let end = text.find(|c: char| c.is_ascii_digit() != digits).unwrap_or(text.len());
    let (run, rest) = text.split_at(end);
    *text = rest;
    run
}

fn compare_runs(a: &str, b: &str) -> Ordering {
    let digits = |run: &str| run.starts_with(|c: char| c.is_ascii_digit());
    match (digits(a), digits(b)) {
        (true, true) => {
            let (a, b) = (a.trim_start_matches('0'), b.trim_start_matches('0'));
            a.len().cmp(&b.len()).then_with(|| a.cmp(b))
        }
        (true, false) => Ordering::Less,
        (false, true) => Ordering::Greater,
        (false, false) => {
            let lower = |run: &str| -> Vec<char> { run.chars().flat_map(char::to_lowercase).collect() };
            let (a, b) = (lower(a), lower(b));
            let length = |run: &[char]| if run.len() <= COUNTING_LETTERS { run.len() } else { COUNTING_LETTERS + 1 };
            length(&a).cmp(&length(&b)).then_with(|| a.cmp(&b))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn labels_follow_each_other_as_people_read_them() {
        let ordered = [
            "",
            "1",
            "01",
            "2",
            "10",
            "2a",
            "A",
            "B",
            "b1",
            "Z",
            "AA",
            "AB",
            "AAA",
            "Balcony",
            "Balcony 2",
            "Balcony 10",
            "가",
            "나",
        ];
        let mut sorted = ordered.to_vec();
        sorted.reverse();
        sorted.sort_by(|a, b| natural(a, b));
        let at = |label: &str| sorted.iter().position(|known| *known == label).unwrap_or(usize::MAX);
        for pair in [
            ("1", "2"),
            ("2", "10"),
            ("A", "B"),
            ("Z", "AA"),
            ("AA", "AB"),
            ("Balcony 2", "Balcony 10"),
            ("가", "나"),
            ("", "1"),
            ("2", "2a"),
            ("B", "b1"),
        ] {
            assert!(at(pair.0) < at(pair.1), "{pair:?} in {sorted:?}");
        }
    }

    proptest! {
        #[test]
        fn it_is_a_total_order(labels in prop::collection::vec("[aAbB019 가]{0,5}", 3)) {
            let [a, b, c] = [&labels[0], &labels[1], &labels[2]];
            prop_assert_eq!(natural(a, b), natural(b, a).reverse());
            prop_assert_eq!(natural(a, b) == Ordering::Equal, a == b);
            if natural(a, b).is_le() && natural(b, c).is_le() {
                prop_assert!(natural(a, c).is_le());
            }
        }
    }
}
