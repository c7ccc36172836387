//! The sources' tidiness: heads, arrows between the crates, a domain without IO, tests that do not wait to hope, and
//! sizes. What may be otherwise stands here with its reason.

use crate::onsale::root;
use std::path::{Path, PathBuf};

/// The longest a file may be.
const MOST_LINES: usize = 500;
/// Files that may be longer, and why.
const LONG: [(&str, &str); 0] = [];

/// A source file: its path from the root, and its text.
pub(crate) struct Source {
    pub(crate) path: String,
    pub(crate) text: String,
}

impl Source {
    /// Whether it is a test: in a directory of tests, or a module beside the code that it tests.
    pub(crate) fn is_test(&self) -> bool {
        self.path.contains("/tests/") || self.path.ends_with("/tests.rs") || self.path.ends_with("_tests.rs")
    }

    /// Lines of code, numbered, without comments and without a closing test module.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let lines = self.text.lines().enumerate().map(|(at, line)| (at + 1, line));
        lines.take_while(|(_, line)| *line != "#[cfg(test)]").filter(|(_, line)| !line.trim_start().starts_with("//"))
    }
}

pub(crate) fn sources() -> Vec<Source> {
    let root = root();
    let mut found = Vec::new();
    for crate_name in ["engine", "adapters", "server", "benches"] {
        find_sources(&root.join(crate_name), &mut |path| {
            let name = path.strip_prefix(&root).unwrap().to_str().unwrap().replace('\\', "/");
            found.push(Source { path: name, text: std::fs::read_to_string(path).unwrap() });
        });
    }
    assert!(found.len() > 50, "only {} files were found", found.len());
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

fn find_sources(dir: &Path, each: &mut dyn FnMut(&PathBuf)) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            find_sources(&path, each);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            each(&path);
        }
    }
}

/// Fails with every offender.
pub(crate) fn none(what: &str, offenders: Vec<String>) {
    assert!(offenders.is_empty(), "{what}:\n{}", offenders.join("\n"));
}

/// Lines of code of the files under `dir` that hold one of `words`.
fn lines_with(dir: &str, words: &[&str]) -> Vec<String> {
    let mut offenders = Vec::new();
    for source in sources().iter().filter(|source| source.path.starts_with(dir) && !source.is_test()) {
        for (number, line) in source.code() {
            if words.iter().any(|word| line.contains(word)) {
                offenders.push(format!("{}:{number}: {}", source.path, line.trim()));
            }
        }
    }
    offenders
}

#[test]
fn every_file_says_what_it_owns() {
    let headless = sources().into_iter().filter(|source| !source.text.starts_with("//! "));
    none("files without a head", headless.map(|source| source.path).collect());
}

#[test]
fn imports_go_one_way() {
    let outside =
        ["onsale_adapters", "onsale_server", "rusqlite", "tokio_postgres", "redis::", "bb8", "hyper", "reqwest"];
    none("the engine knows no adapter, no database, no HTTP", lines_with("engine/", &outside));
    none("adapters do not see the server", lines_with("adapters/", &["onsale_server", "hyper::server"]));
    for dir in ["engine/", "adapters/", "server/"] {
        none("nobody needs the benches", lines_with(dir, &["onsale_benches"]));
    }
    let manifests = [
        ("engine", &["onsale-adapters", "onsale-server", "onsale-benches", "rusqlite", "hyper"][..]),
        ("adapters", &["onsale-server", "onsale-benches"][..]),
        ("server", &["onsale-benches"][..]),
    ];
    for (name, forbidden) in manifests {
        let manifest = std::fs::read_to_string(root().join(name).join("Cargo.toml")).unwrap();
        for other in forbidden {
            assert!(!manifest.lines().any(|line| line.starts_with(other)), "{name} depends on {other}");
        }
    }
}

#[test]
fn the_domain_reads_no_clock_no_dice_and_no_environment() {
    let outside = [
        "SystemTime",
        "Instant::now",
        "std::time::Instant",
        "rand::",
        "std::env",
        "std::fs",
        "std::net",
        "std::thread",
        "tokio",
        "actix",
        "Uuid::new_v4",
        "Uuid::now_v7",
        "tracing::",
    ];
    none("the domain has no IO", lines_with("engine/src/sale/", &outside));
}

#[test]
fn no_test_is_skipped_and_none_waits_to_hope() {
    let (ignored, later) = (concat!("#[", "ignore"), concat!("to", "do!("));
    let mut offenders = Vec::new();
    for source in sources() {
        let lines: Vec<&str> = source.text.lines().collect();
        for (at, line) in lines.iter().enumerate() {
            let hopes = source.is_test() && is_a_hope(&lines, at);
            if line.contains(ignored) || line.contains(later) || hopes {
                offenders.push(format!("{}:{}: {}", source.path, at + 1, line.trim()));
            }
        }
    }
    none("ignored tests, things left for later, or tests that sleep to hope", offenders);
}

/// A sleep that neither asks again in a loop nor has its reason in the line above.
fn is_a_hope(lines: &[&str], at: usize) -> bool {
    let sleeps = [concat!("thread::", "sleep("), concat!("time::", "sleep(")];
    if !sleeps.iter().any(|sleep| lines[at].contains(sleep)) {
        return false;
    }
    let indent = |line: &str| line.len() - line.trim_start().len();
    let above = lines[..at].iter().rev().filter(|line| !line.trim().is_empty());
    let has_reason = above.clone().next().is_some_and(|line| line.trim_start().starts_with("// "));
    // The loop around it: a line above that is indented less, before the function begins.
    let mut depth = indent(lines[at]);
    let in_loop = above.take_while(|line| !line.contains("fn ")).any(|line| {
        let outer = indent(line) < depth;
        depth = depth.min(indent(line));
        let line = line.trim();
        outer && (line.ends_with("loop {") || line.starts_with("while ") || line.starts_with("for "))
    });
    !has_reason && !in_loop
}

#[test]
fn files_are_short_enough_to_be_read() {
    let mut offenders = Vec::new();
    for source in sources().iter().filter(|source| !source.is_test()) {
        let lines = source.text.lines().count();
        let excused = LONG.iter().any(|(path, _)| *path == source.path);
        if lines > MOST_LINES && !excused {
            offenders.push(format!("{} has {lines} lines", source.path));
        }
        if lines <= MOST_LINES && excused {
            offenders.push(format!("{} is excused, but has only {lines} lines", source.path));
        }
    }
    let gone = LONG.iter().filter(|(path, _)| !root().join(path).is_file());
    offenders.extend(gone.map(|(path, reason)| format!("{path} is excused ({reason}), but is not there")));
    none("files that are too long", offenders);
}
