//! The sources' words: names, comments, log lines and errors in the field's standard terms. Owns the list of words that are
//! kept out of Rust files, and of the directories that are held to it. Must never change a file.

use crate::tidy::{none, sources};

/// Directories that are held to the list; one line each.
const DIRS: [&str; 4] = [
    "adapters/", // storage, and what nodes share
    "benches/",  // measurements and tests from outside
    "engine/",   // the domain and its runtime
    "server/",   // the HTTP front end and the commands
];

/// Words that a reader must ask about, and the standard ones. A word of several parts is found in a name
/// (`passed_over`, `PassedOver`) and in prose, also over the end of a line.
const WORDS: [(&str, &str); 50] = [
    ("anew", "again, rebuilt"),
    ("as wished", "as requested, as expected"),
    ("deed", "action"),
    ("deeds", "actions"),
    ("errand", "control message"),
    ("file left over", "recover"),
    ("filer", "checkpointer"),
    ("filers", "checkpointers"),
    ("filing", "checkpointing, a checkpoint transaction"),
    ("filings", "checkpoint transactions"),
    ("foretold", "predicted"),
    ("hand over", "enqueue"),
    ("heard", "received, last seen"),
    ("hears", "receives, polls"),
    ("hold back", "throttle, backpressure"),
    ("impatient", "with a short timeout"),
    ("in turn", "in order, round-robin, alternating"),
    ("is told", "is sent, is answered"),
    ("looked at", "read, checked"),
    ("mend", "repair, rewrite"),
    ("mended", "fixed"),
    ("mends", "repairs, rewrites"),
    ("news", "notification"),
    ("next look", "next check, next poll"),
    ("pass over", "skip, ignore"),
    ("passed over", "skipped"),
    ("passes over", "skips, ignores"),
    ("patience", "timeout"),
    ("patiently", "with a timeout"),
    ("pressing", "urgent, over the high watermark"),
    ("right to be believed", "authority"),
    ("said no", "returned an error"),
    ("says no", "refuses, fails"),
    ("sealing", "signing"),
    ("seals", "signer, MACs"),
    ("seldom", "rarely; a future is called for when it is polled"),
    ("shelf", "cache"),
    ("tell", "send, show, distinguish"),
    ("tells", "sends, shows, distinguishes"),
    ("the walk", "the sweep, the scan, the cursor"),
    ("told", "answered, reported, notified"),
    ("unfiled", "not checkpointed, unflushed"),
    ("unhear", "forget the heartbeat"),
    ("unheard", "unseen"),
    ("untold", "unseen"),
    ("whoever", "who, the one that"),
    ("whomever", "whom"),
    ("wish", "request"),
    ("wished", "requested, intended"),
    ("wishes", "requests"),
];

/// What may have such a word, letter by letter, and why. It is cut out before the words are read.
const ALLOWED: [(&str, &str); 7] = [
    ("onsale:news", "a channel of Redis: nodes of another version listen to it"),
    ("= \"heard\"", "a key of the readable form of stored rows"),
    ("let in, as told", "a key of reports"),
    ("let in, told", "a key of reports"),
    ("admission rate as told", "a key of reports"),
    ("mod walkthrough", "README's"),
    ("the walk-through", "README's"),
];

/// Files that list such words.
const LISTS: [&str; 3] = ["benches/tests/it/documents.rs", "benches/tests/it/help.rs", "benches/tests/it/words.rs"];

/// The words of a line, in lower case, each behind a blank: names are taken apart at underscores and at capitals.
fn words_of(line: &str) -> String {
    let mut line = line.to_owned();
    for (allowed, _) in ALLOWED {
        line = line.replace(allowed, ".");
    }
    let mut words = String::from(" ");
    let mut was_small = false;
    for letter in line.chars() {
        if !letter.is_alphanumeric() || (was_small && letter.is_uppercase()) {
            words.push(' ');
        }
        match letter {
            // Only a blank, an underscore or a capital keeps the parts of one word together.
            _ if letter.is_alphanumeric() => words.extend(letter.to_lowercase()),
            ' ' | '_' => {}
            // A blank behind it, so that the next word begins alone: `("told`.
            _ => words.push_str(". "),
        }
        was_small = letter.is_lowercase() || letter.is_numeric();
    }
    words.push(' ');
    words.split_inclusive(' ').filter(|word| *word != " ").fold(String::from(" "), |all, word| all + word)
}

/// A line without what begins a comment, so that sentences go on over its end.
fn prose(line: &str) -> &str {
    line.trim().trim_start_matches('/').trim_start_matches('!')
}

/// The words of the list that a text has, by the number of the line that each begins in.
fn found_in(text: &str) -> Vec<(usize, &'static str, &'static str)> {
    let lines: Vec<String> = text.lines().map(|line| words_of(prose(line))).collect();
    let mut found = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let next = lines.get(at + 1).map_or("", String::as_str);
        let both = format!("{line}{}", next.trim_start());
        for (word, instead) in WORDS {
            let whole = format!(" {word} ");
            let goes_over = word.contains(' ') && both.contains(&whole) && !next.contains(&whole);
            if line.contains(&whole) || goes_over {
                found.push((at + 1, word, instead));
            }
        }
    }
    found
}

#[test]
fn sources_use_standard_words() {
    let sources = sources();
    for list in LISTS {
        assert!(sources.iter().any(|source| source.path == list), "{list} is not there");
    }
    let mut offenders = Vec::new();
    for dir in DIRS {
        let held = sources.iter().filter(|source| source.path.starts_with(dir));
        let held: Vec<_> = held.filter(|source| !LISTS.contains(&source.path.as_str())).collect();
        assert!(held.len() > 20, "only {} files were found in {dir}", held.len());
        for source in held {
            let found = found_in(&source.text).into_iter();
            offenders.extend(found.map(|(line, word, instead)| {
                let path = &source.path;
                format!("{path}:{line}: \"{word}\": write {instead}")
            }));
        }
    }
    none("words that a reader must ask about", offenders);
}

#[test]
fn words_are_found_in_names_and_in_prose() {
    let found = |text: &str| found_in(text).into_iter().map(|(line, word, _)| (line, word)).collect::<Vec<_>>();
    assert_eq!(found("const ROOM_PATIENCE: u32 = 1;\nfn is_told() {}"), [(1, "patience"), (2, "is told"), (2, "told")]);
    assert_eq!(found("struct JournalFiler;\nlet filing2 = 1;"), [(1, "filer")]);
    assert_eq!(found("    /// It is passed\n    /// over."), [(1, "passed over")]);
    assert_eq!(found("//! SQLite said no."), [(1, "said no")]);
    assert_eq!(found("assert!(so, \"told to\");\nserve(heard)"), [(1, "told"), (2, "heard")]);
    assert_eq!(found("fn file_left_over() {}\n// in turn"), [(1, "file left over"), (2, "in turn")]);
    assert_eq!(found("let heading = 1; // a turn in turning, wishful, profiling; it passed. Over it"), []);
    assert_eq!(found("use Notifications; // onsale:news"), []);
}
