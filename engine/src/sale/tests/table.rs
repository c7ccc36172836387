//! The table of rules at the head of `sale/mod.rs` is complete: each file that it names exists, each rule's file is named, and so
//! is each command, fact and refusal.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

fn home() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/sale")
}

fn text(file: &str) -> String {
    std::fs::read_to_string(home().join(file)).unwrap()
}

/// What the rows of the table have between backticks in a column, from 0.
fn column(number: usize) -> BTreeSet<String> {
    let table = text("mod.rs");
    let rows = table.lines().filter_map(|line| line.strip_prefix("//! | ")).skip(1);
    let cells = rows.map(|row| row.split('|').nth(number).unwrap_or_default().to_owned());
    cells.flat_map(|cell| cell.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>()).collect()
}

/// The variants of an enum, by the indent of its members.
fn variants(file: &str, name: &str) -> BTreeSet<String> {
    let source = text(file);
    let body = source.split_once(&format!("pub enum {name} {{\n")).unwrap().1.split_once("\n}").unwrap().0;
    let members = body.lines().filter_map(|line| line.strip_prefix("    "));
    let members = members.filter(|line| line.starts_with(|first: char| first.is_ascii_uppercase()));
    members.map(|line| line.split([' ', '(', ',']).next().unwrap().to_owned()).collect()
}

/// Files of rules: those in rooms of rules, without the heads of rooms and tests.
fn files_of_rules() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let rooms = ["seats", "seats/best_block", "holds", "payments", "queue", "draw", "operators"];
    for room in rooms {
        for entry in std::fs::read_dir(home().join(room)).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            if name.ends_with(".rs") && name != "mod.rs" && name != "tests.rs" {
                found.insert(format!("{room}/{name}"));
            }
        }
    }
    found
}

#[test]
fn every_rule_has_its_file_and_every_file_its_rule() {
    let named = column(1);
    assert!(named.len() > 40, "{named:?}");
    let gone: Vec<_> = named.iter().filter(|file| !home().join(file).is_file()).collect();
    assert!(gone.is_empty(), "the table names files that do not exist: {gone:?}");
    let missing: Vec<_> = files_of_rules().into_iter().filter(|file| !named.contains(file)).collect();
    assert!(missing.is_empty(), "files without a row in the table: {missing:?}");
}

#[test]
fn every_command_fact_and_refusal_has_its_rule() {
    assert_eq!(column(2), variants("command.rs", "Command"));
    assert_eq!(column(3), variants("fact.rs", "Fact"));
    assert_eq!(column(4), variants("rejection.rs", "Rejection"));
}
