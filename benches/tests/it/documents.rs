//! The documents' tidiness: plain words, lengths, maps that are complete, links and paths that resolve, and decisions
//! numbered without holes. Must never change a document.

use crate::onsale::root;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Words that a reader must ask about, and the standard ones. Inline code, code blocks and targets of links may have
/// them: names of metrics, keys and files keep theirs.
const WORDS: [(&str, &str); 22] = [
    ("anew", "again, rebuilt"),
    ("whoever", "who, the person who"),
    ("filer", "checkpointer"),
    ("filing", "checkpointing"),
    ("unfiled", "not checkpointed"),
    ("patience", "timeout"),
    ("heard of", "received, last seen"),
    ("hears of", "receives"),
    ("unhear", "forget the heartbeat"),
    ("told_at", "last sent"),
    ("told of", "notified of"),
    ("wish", "request"),
    ("wishes", "requests"),
    ("deed", "action"),
    ("deeds", "actions"),
    ("in turn", "in order, alternating"),
    ("passed over", "skipped"),
    ("the walk", "the sweep, the traversal"),
    ("looks a second", "status reads a second"),
    ("said no", "returned an error"),
    ("mended", "fixed"),
    ("foretold", "predicted"),
];

/// The list of all documents, each once; those of [`LISTED`] are there by their own list.
const MAP: &str = "docs/README.md";
/// Directories with a list of their own, their `README.md`.
const LISTED: [&str; 2] = ["docs/decisions/", "docs/runbook/"];

/// The first component of paths that documents name in code spans.
const ROOTS: [&str; 7] = ["engine/", "adapters/", "server/", "benches/", "docs/", "scripts/", "deploy/"];

/// A document: its path from the root, and its text.
struct Document {
    path: String,
    text: String,
}

impl Document {
    fn read(path: &str) -> Self {
        Self { path: path.to_owned(), text: std::fs::read_to_string(root().join(path)).unwrap() }
    }

    /// Lines without fenced code blocks, numbered.
    fn prose(&self) -> Vec<(usize, &str)> {
        let mut in_code = false;
        let mut lines = Vec::new();
        for (at, line) in self.text.lines().enumerate() {
            if line.trim_start().starts_with("```") {
                in_code = !in_code;
            } else if !in_code {
                lines.push((at + 1, line));
            }
        }
        lines
    }

    /// Targets of links, with the line of each.
    fn links(&self) -> Vec<(usize, String)> {
        let lines = self.prose().into_iter();
        lines.flat_map(|(at, line)| targets(&without_code(line)).into_iter().map(move |target| (at, target))).collect()
    }

    /// What a relative link of this document points to, from the root; nothing for a link elsewhere.
    fn resolve(&self, target: &str) -> Option<(String, Option<String>)> {
        if target.contains("://") || target.starts_with("mailto:") {
            return None;
        }
        let (path, anchor) = match target.split_once('#') {
            Some((path, anchor)) => (path, Some(anchor.to_owned())),
            None => (target, None),
        };
        if path.is_empty() {
            return Some((self.path.clone(), anchor));
        }
        let mut parts: Vec<&str> = self.path.split('/').collect();
        parts.pop();
        for part in path.split('/').filter(|part| !part.is_empty() && *part != ".") {
            if part == ".." {
                parts.pop();
            } else {
                parts.push(part);
            }
        }
        Some((parts.join("/"), anchor))
    }

    /// Anchors of headings, as they are made from their text.
    fn anchors(&self) -> BTreeSet<String> {
        let headings = self.prose().into_iter().filter_map(|(_, line)| {
            let text = line.trim_start_matches('#');
            (text.len() < line.len() && text.starts_with(' ')).then(|| slug(text.trim()))
        });
        headings.collect()
    }
}

/// The anchor of a heading: lower case, spaces as hyphens, without punctuation and without the targets of links.
fn slug(heading: &str) -> String {
    let mut text = heading.to_owned();
    for target in targets(heading) {
        text = text.replace(&format!("]({target})"), "]");
    }
    let kept = text.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c.to_ascii_lowercase() }).collect()
}

/// A line with its code spans blanked.
fn without_code(line: &str) -> String {
    let parts = line.split('`').enumerate();
    parts.map(|(at, part)| if at % 2 == 0 { part.to_owned() } else { "``".to_owned() }).collect()
}

/// The targets of the links `[text](target)` in a line.
fn targets(line: &str) -> Vec<String> {
    let after = line.split("](").skip(1);
    after.filter_map(|rest| rest.split_once(')')).map(|(target, _)| target.to_owned()).collect()
}

/// Whether `word` stands in `text` by itself: no letter, digit, underscore or hyphen around it.
fn has_word(text: &str, word: &str) -> bool {
    let is_part = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == '-');
    text.match_indices(word)
        .any(|(at, _)| !is_part(text[..at].chars().next_back()) && !is_part(text[at + word.len()..].chars().next()))
}

/// `a/{b,c}.rs` as `a/b.rs` and `a/c.rs`.
fn expanded(path: &str) -> Vec<String> {
    let Some((head, rest)) = path.split_once('{') else { return vec![path.to_owned()] };
    let Some((names, tail)) = rest.split_once('}') else { return vec![path.to_owned()] };
    names.split(',').flat_map(|name| expanded(&format!("{head}{name}{tail}"))).collect()
}

fn documents() -> Vec<Document> {
    let mut paths = Vec::new();
    find(&root(), &mut paths);
    let root = root();
    let names = paths.iter().map(|path| path.strip_prefix(&root).unwrap().to_str().unwrap().replace('\\', "/"));
    let mut found: Vec<Document> = names.map(|name| Document::read(&name)).collect();
    assert!(found.len() > 30, "only {} documents were found", found.len());
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

/// Every `*.md` under a directory, without build output and hidden directories.
fn find(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() {
            if !name.starts_with('.') && name != "target" {
                find(&path, found);
            }
        } else if path.extension().is_some_and(|extension| extension == "md") {
            found.push(path);
        }
    }
}

/// Fails with every offender.
fn none(what: &str, offenders: &[String]) {
    assert!(offenders.is_empty(), "{what}:\n{}", offenders.join("\n"));
}

/// The text that is held to today's words: of the changelog only what is not released yet.
fn present(document: &Document) -> usize {
    if document.path != "CHANGELOG.md" {
        return usize::MAX;
    }
    let headings = document.text.lines().enumerate().filter(|(_, line)| line.starts_with("## "));
    headings.map(|(at, _)| at + 1).nth(1).unwrap_or(usize::MAX)
}

#[test]
fn documents_use_standard_words() {
    let mut offenders = Vec::new();
    for document in documents() {
        let end = present(&document);
        // Sentences go over the ends of lines: two lines are looked at together.
        let lines = document.prose();
        for (at, (number, line)) in lines.iter().enumerate().filter(|(_, (number, _))| *number < end) {
            let next = lines.get(at + 1).map_or("", |(_, next)| next);
            let (own, next) = (without_targets(line), without_targets(next));
            let both = format!("{own} {}", next.trim_start());
            for (word, instead) in WORDS {
                let starts_here = has_word(&both, word) && !has_word(&next, word);
                if has_word(&own, word) || (word.contains(' ') && starts_here) {
                    offenders.push(format!("{}:{number}: \"{word}\": write {instead}", document.path));
                }
            }
        }
    }
    none("words that a reader must ask about", &offenders);
}

/// A line's words in lower case, without code spans and targets of links.
fn without_targets(line: &str) -> String {
    let mut text = without_code(line);
    for target in targets(&text) {
        text = text.replace(&format!("]({target})"), "]");
    }
    text.to_lowercase()
}

#[test]
fn front_pages_are_short() {
    let readme = Document::read("README.md").text.lines().count();
    assert!(readme <= 150, "README.md has {readme} lines, more than 150");
    let architecture = Document::read("ARCHITECTURE.md");
    let lines: Vec<&str> = architecture.text.lines().collect();
    assert!(lines.len() <= 200, "ARCHITECTURE.md has {} lines, more than 200", lines.len());
    let long = lines.iter().enumerate().filter(|(_, line)| line.chars().count() > 130);
    let long: Vec<String> = long.map(|(at, _)| format!("ARCHITECTURE.md:{}", at + 1)).collect();
    none("lines of more than 130 characters", &long);
}

#[test]
fn every_document_is_in_its_map_once() {
    let mut offenders = Vec::new();
    for document in documents().iter().filter(|document| document.path != MAP) {
        let dir =
            LISTED.into_iter().find(|dir| document.path.starts_with(dir) && !document.path.ends_with("/README.md"));
        let map = Document::read(&dir.map_or(MAP.to_owned(), |dir| format!("{dir}README.md")));
        let links = map.links();
        let links = links.iter().filter_map(|(_, target)| map.resolve(target));
        let times = links.filter(|(path, _)| *path == document.path).count();
        // Lists of a directory may come back to a page.
        if times == 0 || (times > 1 && dir.is_none()) {
            offenders.push(format!("{}: {} is linked {times} times", map.path, document.path));
        }
    }
    none("documents that their map does not have once", &offenders);
}

#[test]
fn relative_links_resolve() {
    let mut offenders = Vec::new();
    for document in documents() {
        for (number, target) in document.links() {
            let Some((path, anchor)) = document.resolve(&target) else { continue };
            let has_anchor = |anchor: &String| Document::read(&path).anchors().contains(anchor);
            let is_there = root().join(&path).exists();
            if !is_there || !anchor.as_ref().is_none_or(has_anchor) {
                offenders.push(format!("{}:{number}: {target}", document.path));
            }
        }
    }
    none("links that lead nowhere", &offenders);
}

#[test]
fn paths_that_contributors_are_sent_to_exist() {
    let mut offenders = Vec::new();
    let mut seen = 0;
    for document in ["ARCHITECTURE.md", "CONTRIBUTING.md"].map(Document::read) {
        for (number, line) in document.prose() {
            let spans = line.split('`').skip(1).step_by(2);
            let paths = spans.filter(|span| ROOTS.iter().any(|root| span.starts_with(root)) && !span.contains(' '));
            for path in paths.flat_map(expanded) {
                seen += 1;
                if !root().join(&path).exists() {
                    offenders.push(format!("{}:{number}: {path}", document.path));
                }
            }
        }
    }
    assert!(seen > 50, "only {seen} paths were found");
    none("paths that do not exist", &offenders);
}

#[test]
fn decisions_are_numbered_without_holes() {
    let decisions = documents().into_iter().filter(|document| {
        document.path.strip_prefix("docs/decisions/").is_some_and(|name| name.as_bytes()[0].is_ascii_digit())
    });
    let mut last = 0;
    for (number, document) in (1..).zip(decisions) {
        let name = document.path.strip_prefix("docs/decisions/").unwrap();
        assert!(name.starts_with(&format!("{number:04}-")), "{name} is where {number:04} is due");
        assert!(document.text.starts_with(&format!("# {number}. ")), "{name} has another number in its title");
        last = number;
    }
    assert!(last > 0, "no decision was found");
}

#[test]
fn words_links_and_anchors_are_found() {
    assert!(has_word("it rests in turn.", "in turn") && !has_word("a turn in turning", "in turn"));
    assert!(!has_word("the walk-through", "the walk") && has_word("the walk", "the walk"));
    assert_eq!(targets("[a](b.md#c), ![d](e)"), ["b.md#c", "e"]);
    assert_eq!(without_code("a `anew` b"), "a `` b");
    assert_eq!(slug("Recovery, targets and [measured](x.md)"), "recovery-targets-and-measured");
    assert_eq!(expanded("a/{b,c}.rs"), ["a/b.rs", "a/c.rs"]);
    let document = Document { path: "docs/a/b.md".to_owned(), text: "# Title one\n```\n# Code\n```\n".to_owned() };
    assert_eq!(document.resolve("../c.md#d"), Some(("docs/c.md".to_owned(), Some("d".to_owned()))));
    assert_eq!(document.resolve("https://example.org"), None);
    assert_eq!(document.anchors(), BTreeSet::from(["title-one".to_owned()]));
}
