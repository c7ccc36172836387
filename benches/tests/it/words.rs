//! Words in sources: names, comments and texts use standard terms, as documents do. A name is read as the words that it is made
//! of, so `holdPatience`, `HOLD_PATIENCE` and "hold patience" are the same. Must never allow a word only because it is old.

use crate::tidy::{none, sources};

/// Sources that are held to these words. A folder that is free of them is added here, none is taken away.
const FOLDERS: [&str; 1] = ["server/"];

/// Words and phrases that a reader must ask about, and the standard ones. Single words match whole words only.
const WORDS: [(&str, &str); 33] = [
    ("anew", "again"),
    ("whoever", "who, the caller"),
    ("whomever", "whom"),
    ("in turn", "in order; an IO wrapper is called for what it does"),
    ("seldom", "rarely; a future is called for when it is polled"),
    ("mend", "repair, rewrite"),
    ("mends", "repairs, rewrites"),
    ("mended", "repaired, rewritten"),
    ("shelf", "cache"),
    ("seals", "signer, MACs"),
    ("sealing", "signing"),
    ("patience", "timeout"),
    ("told", "sent, reported, answered"),
    ("tells", "sends, shows, distinguishes"),
    ("tell", "send, show, distinguish"),
    ("untold", "unsent"),
    ("heard", "received, last seen"),
    ("hears", "receives"),
    ("unhear", "forget the heartbeat"),
    ("news", "notification"),
    ("wish", "request"),
    ("wishes", "requests"),
    ("deed", "action"),
    ("deeds", "actions"),
    ("passed over", "skipped, ignored"),
    ("passes over", "skips, ignores"),
    ("pass over", "skip, ignore"),
    ("the walk", "the sweep, the traversal"),
    ("said no", "returned an error"),
    ("says no", "refuses, fails"),
    ("looked at", "read, checked"),
    ("filer", "checkpointer"),
    ("errand", "control message"),
];

/// Names that other crates define, which stay until those crates are held to the words.
const FOREIGN: [&str; 3] = ["Heard", "SharedNews", "tell_revoked"];

/// The words of a line in lower case, single spaces around each: names are taken apart at underscores and capitals.
fn words_of(line: &str) -> String {
    let mut words = String::from(" ");
    let mut before = ' ';
    for letter in line.chars() {
        if letter.is_uppercase() && before.is_lowercase() {
            words.push(' ');
        }
        if letter.is_alphabetic() {
            words.extend(letter.to_lowercase());
        } else if !words.ends_with(' ') {
            words.push(' ');
        }
        before = letter;
    }
    words.push(' ');
    words
}

/// What is wrong with a line: each of [`WORDS`] that it has, with the standard one.
fn strange_words(line: &str) -> Vec<String> {
    let own = FOREIGN.iter().fold(line.to_owned(), |line, name| line.replace(name, ""));
    let text = words_of(&own);
    let found = WORDS.iter().filter(|(word, _)| text.contains(&format!(" {word} ")));
    found.map(|(word, instead)| format!("\"{word}\": write {instead}")).collect()
}

#[test]
fn sources_use_standard_words() {
    let mut offenders = Vec::new();
    for source in sources().iter().filter(|source| FOLDERS.iter().any(|folder| source.path.starts_with(folder))) {
        for (at, line) in source.text.lines().enumerate() {
            offenders.extend(strange_words(line).into_iter().map(|word| format!("{}:{}: {word}", source.path, at + 1)));
        }
    }
    none("words that a reader must ask about", offenders);
}

#[test]
fn names_are_read_as_their_words() {
    assert_eq!(words_of("const LOCK_PATIENCE: u8"), " const lock patience u ");
    for line in ["let io = InTurn::new(io);", "fn hold_in_turn()", "// One after the other, in turn.", "PATIENCE"] {
        assert_eq!(strange_words(line).len(), 1, "{line}");
    }
    for line in ["struct Shelfful;", "turned in", "Heard::Missed", "// A foretelling of patients."] {
        assert!(strange_words(line).is_empty(), "{line}");
    }
}
