//! `docs/dependencies.md` lists every package that a crate names itself, and no other, with a purpose and alternatives.

use crate::onsale::root;
use std::collections::{BTreeMap, BTreeSet};

const CRATES: [&str; 4] = ["adapters", "benches", "engine", "server"];

/// Packages, and the crates that name them.
type Listed = BTreeMap<String, BTreeSet<String>>;

/// The names below every `[dependencies]`, `[dev-dependencies]` and `[build-dependencies]` of a manifest, for all targets; ours left
/// out.
fn named_in(manifest: &str) -> BTreeSet<String> {
    let (mut names, mut is_within) = (BTreeSet::new(), false);
    for line in manifest.lines().map(str::trim) {
        if let Some(table) = line.strip_prefix('[') {
            let table = table.trim_end_matches(']');
            is_within = table.ends_with("dependencies");
            // A table of its own: `[dependencies.tokio]`.
            if let Some((_, name)) = table.split_once("dependencies.") {
                names.insert(name.to_owned());
            }
        } else if is_within && line.starts_with(|first: char| first.is_ascii_alphanumeric()) {
            names.insert(line.split(['.', ' ', '=']).next().unwrap_or_default().to_owned());
        }
    }
    names.retain(|name| !name.starts_with("onsale-"));
    names
}

fn named() -> Listed {
    let mut named = Listed::new();
    for crate_name in CRATES {
        let manifest = std::fs::read_to_string(root().join(crate_name).join("Cargo.toml")).unwrap();
        for package in named_in(&manifest) {
            named.entry(package).or_default().insert(crate_name.to_owned());
        }
    }
    named
}

/// The rows of the document's tables; a row without purpose or alternatives is none.
fn documented(document: &str) -> Listed {
    let rows = document.lines().filter_map(|line| {
        let cells: Vec<&str> = line.strip_prefix('|')?.strip_suffix('|')?.split('|').map(str::trim).collect();
        let [name, crates, purpose, alternatives] = cells[..] else { return None };
        let name = name.strip_prefix('`')?.strip_suffix('`')?;
        let crates = crates.split(", ").map(str::to_owned).collect();
        (!purpose.is_empty() && !alternatives.is_empty()).then(|| (name.to_owned(), crates))
    });
    rows.collect()
}

#[test]
fn every_direct_dependency_is_documented_where_it_is_used() {
    let document = std::fs::read_to_string(root().join("docs/dependencies.md")).unwrap();
    let (named, documented) = (named(), documented(&document));
    assert!(named.len() > 40, "only {} were found", named.len());
    let all: BTreeSet<&String> = named.keys().chain(documented.keys()).collect();
    let different = all.into_iter().filter(|package| named.get(*package) != documented.get(*package));
    let different: Vec<String> = different
        .map(|package| {
            format!("{package}: named in {:?}, documented for {:?}", named.get(package), documented.get(package))
        })
        .collect();
    assert!(different.is_empty(), "docs/dependencies.md:\n{}", different.join("\n"));
}

/// What the workspace offers to its crates, all of them use.
#[test]
fn the_workspace_names_nothing_that_no_crate_names() {
    let manifest = std::fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let named = named();
    let unused: Vec<String> = named_in(&manifest).into_iter().filter(|package| !named.contains_key(package)).collect();
    assert!(unused.is_empty(), "nothing uses {unused:?}");
}

/// A package that is named for a feature alone, which the crates that use it have no use for.
const FOR_A_FEATURE: [&str; 1] = ["benches: rustix"];

/// A package that no source file of its crate names is not used.
#[test]
fn every_direct_dependency_is_named_in_a_source_file() {
    let mut unused = Vec::new();
    for crate_name in CRATES {
        let manifest = std::fs::read_to_string(root().join(crate_name).join("Cargo.toml")).unwrap();
        let sources = sources_of(crate_name);
        for package in named_in(&manifest) {
            let path = package.replace('-', "_");
            let is_named = sources.iter().any(|source| {
                source.match_indices(&path).any(|(at, _)| {
                    let before = source[..at].chars().next_back().unwrap_or(' ');
                    let behind = &source[at + path.len()..];
                    !(before.is_alphanumeric() || before == '_')
                        && (behind.starts_with("::") || behind.starts_with(';'))
                })
            });
            unused.extend((!is_named).then(|| format!("{crate_name}: {package}")));
        }
    }
    assert_eq!(unused, FOR_A_FEATURE, "nothing names them");
}

fn sources_of(crate_name: &str) -> Vec<String> {
    let (mut sources, mut folders) = (Vec::new(), vec![root().join(crate_name)]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(path).unwrap();
                // A comment uses nothing.
                let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
                sources.push(code.collect::<Vec<_>>().join("\n"));
            }
        }
    }
    sources
}

#[test]
fn manifests_and_tables_are_read() {
    let manifest = "[package]\nname = \"x\"\n[dependencies]\n# a = 1\ntokio.workspace = true\nuuid = { workspace = true }\n\
        onsale-engine.workspace = true\n[features]\nfakes = []\n[dev-dependencies]\nrand = \"1\"\n[target.'cfg(loom)'.dependencies]\n\
        loom = \"1\"\n[dependencies.serde]\nversion = \"1\"\n";
    let names: Vec<String> = named_in(manifest).into_iter().collect();
    assert_eq!(names, ["loom", "rand", "serde", "tokio", "uuid"]);
    let document = "| package | crates | for | alternatives |\n|---|---|---|---|\n| `a` | engine, server | x | y |\n| `b` | engine | x | |\n";
    let documented = documented(document);
    assert_eq!(documented.len(), 1);
    assert_eq!(documented["a"], BTreeSet::from(["engine".to_owned(), "server".to_owned()]));
}
