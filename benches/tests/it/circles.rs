//! No circles of files: where files of one folder import each other in a loop, none of them can be read, tested or moved
//! without all the others. Reads imports as text, as `use` statements and paths that begin with `crate`, `super` or `self`; a
//! `mod.rs` that only declares and re-exports is seen through to the file that defines the name.

use crate::tidy::{Source, none, sources};
use std::collections::{BTreeMap, BTreeSet};

/// Folders without circles. A folder that is free of them is added here, none is taken away.
const FOLDERS: [&str; 4] = ["engine/src/runtime/", "adapters/src/sqlite/", "benches/src/load/", "server/src/http/"];

/// A module's path within its crate.
type Path = Vec<String>;

/// The module that a file is: `engine/src/runtime/wake.rs` is `runtime::wake`.
fn module_of(file: &str) -> Path {
    let (_, inside) = file.split_once("/src/").unwrap();
    let mut path: Path = inside.trim_end_matches(".rs").split('/').map(str::to_owned).collect();
    path.pop_if(|last| last == "mod" || last == "lib");
    path
}

/// The code of a file in one piece: no comments, no closing test module, no declaration of a test module.
fn code_of(source: &Source) -> String {
    let lines: Vec<&str> = source.text.lines().collect();
    let mut code = String::new();
    for (at, line) in lines.iter().enumerate() {
        let next = lines.get(at + 1).copied().unwrap_or_default();
        if *line == "#[cfg(test)]" && next.starts_with("mod ") && next.ends_with('{') {
            break;
        }
        if !line.trim_start().starts_with("//") {
            code.push_str(line.split(" // ").next().unwrap_or_default());
            code.push('\n');
        }
    }
    code
}

/// Every path of a tree of imports such as `a::{b, c::{d, e as f}}`, each behind `prefix`; `rest` begins after them.
fn paths_of<'a>(prefix: &Path, mut rest: &'a str, found: &mut Vec<Path>) -> &'a str {
    let mut path = prefix.clone();
    loop {
        rest = rest.trim_start();
        if let Some(list) = rest.strip_prefix('{') {
            rest = list;
            loop {
                rest = paths_of(&path, rest, found).trim_start();
                match rest.strip_prefix(',') {
                    Some(more) => rest = more,
                    None => return rest.strip_prefix('}').unwrap_or(rest),
                }
            }
        }
        let end = rest.find(|letter: char| !letter.is_alphanumeric() && letter != '_').unwrap_or(rest.len());
        let (segment, after) = rest.split_at(end);
        if !segment.is_empty() {
            path.push(segment.to_owned());
        }
        match after.strip_prefix("::") {
            Some(more) => rest = more,
            None => {
                found.push(path);
                let after = after.strip_prefix('*').unwrap_or(after);
                let renamed = after.trim_start().strip_prefix("as ").map(str::trim_start);
                return renamed
                    .map_or(after, |name| name.trim_start_matches(|l: char| l.is_alphanumeric() || l == '_'));
            }
        }
    }
}

/// Whether a word that begins there is not the end of a longer one, or the middle of a path.
fn begins_at(code: &str, at: usize) -> bool {
    !code[..at].ends_with(|before: char| before.is_alphanumeric() || before == '_' || before == ':')
}

/// Every path that the code of `module` names and that begins within its crate, from the crate's root.
fn named_by(module: &Path, is_folder: bool, code: &str) -> Vec<Path> {
    let parent = module[..module.len() - 1].to_vec();
    let mut found = Vec::new();
    for (word, base) in [("crate::", Path::new()), ("super::", parent), ("self::", module.clone())] {
        for (at, _) in code.match_indices(word).filter(|(at, _)| begins_at(code, *at)) {
            let (mut rest, mut base) = (&code[at + word.len()..], base.clone());
            while let Some(more) = rest.strip_prefix("super::") {
                base.pop();
                rest = more;
            }
            paths_of(&base, rest, &mut found);
        }
    }
    // A module with modules of its own names them without a prefix.
    if is_folder {
        for child in children(code) {
            let start = format!("{child}::");
            for (at, _) in code.match_indices(&start).filter(|(at, _)| begins_at(code, *at)) {
                paths_of(module, &code[at..], &mut found);
            }
        }
    }
    found
}

/// The modules that a file declares.
fn children(code: &str) -> Vec<&str> {
    let declared = code.lines().filter_map(|line| line.trim().strip_suffix(';'));
    declared.filter_map(|line| line.rsplit_once("mod ").map(|(_, name)| name)).collect()
}

/// Whether a file only declares modules and re-exports what is theirs.
fn is_facade(file: &str, code: &str) -> bool {
    let defines = ["fn ", "struct ", "enum ", "trait ", "const ", "impl ", "type ", "static ", "macro_rules!"];
    let mut words = code.lines().map(|line| line.trim_start().trim_start_matches("pub(crate) "));
    file.ends_with("/mod.rs")
        && !words.any(|line| defines.iter().any(|word| line.trim_start_matches("pub ").starts_with(word)))
}

/// Which files each file of a folder imports.
struct Imports<'a> {
    /// By module; a facade has what it re-exports, by name.
    files: BTreeMap<Path, &'a str>,
    facades: BTreeMap<Path, BTreeMap<String, Path>>,
}

impl<'a> Imports<'a> {
    fn of(sources: &'a [(&'a str, String)]) -> BTreeMap<&'a str, BTreeSet<&'a str>> {
        let files: BTreeMap<Path, &str> = sources.iter().map(|(file, _)| (module_of(file), *file)).collect();
        let mut facades = BTreeMap::new();
        for (file, code) in sources.iter().filter(|(file, code)| is_facade(file, code)) {
            let module = module_of(file);
            let mut exports = BTreeMap::new();
            for path in named_by(&module, true, code) {
                exports.insert(path.last().unwrap().clone(), path);
            }
            facades.insert(module, exports);
        }
        let all = Self { files, facades };
        let mut imports = BTreeMap::new();
        for (file, code) in sources {
            let module = module_of(file);
            if all.facades.contains_key(&module) {
                continue;
            }
            let named = named_by(&module, !children(code).is_empty(), code);
            let theirs: BTreeSet<&str> = named.iter().filter_map(|path| all.file_of(path)).collect();
            imports.insert(*file, theirs.into_iter().filter(|other| other != file).collect());
        }
        imports
    }

    /// The file of the folder that defines what a path names.
    fn file_of(&self, path: &[String]) -> Option<&'a str> {
        let module = (1..=path.len()).rev().map(|end| &path[..end]).find(|part| self.files.contains_key(*part))?;
        match self.facades.get(module) {
            Some(exports) => self.file_of(exports.get(path.get(module.len())?)?),
            None => self.files.get(module).copied(),
        }
    }
}

/// The shortest way from a file back to itself.
fn circle_of<'a>(start: &'a str, imports: &BTreeMap<&'a str, BTreeSet<&'a str>>) -> Option<Vec<&'a str>> {
    let (mut ways, mut seen) = (vec![vec![start]], BTreeSet::new());
    while !ways.is_empty() {
        let mut longer = Vec::new();
        for way in ways {
            for next in imports.get(way.last().unwrap()).into_iter().flatten().copied() {
                if next == start {
                    return Some(way);
                }
                if seen.insert(next) {
                    longer.push(way.iter().copied().chain([next]).collect());
                }
            }
        }
        ways = longer;
    }
    None
}

/// Every circle of these files, once each, as a line.
fn circles(sources: &[(&str, String)]) -> Vec<String> {
    let imports = Imports::of(sources);
    let mut found = BTreeSet::new();
    for file in imports.keys() {
        if let Some(mut circle) = circle_of(file, &imports) {
            let first = circle.iter().enumerate().min_by_key(|(_, file)| **file).map_or(0, |(at, _)| at);
            circle.rotate_left(first);
            found.insert(circle.join(" → "));
        }
    }
    found.into_iter().collect()
}

#[test]
fn no_files_import_each_other_in_a_circle() {
    let sources = sources();
    let mut offenders = Vec::new();
    for folder in FOLDERS {
        let inside = sources.iter().filter(|source| source.path.starts_with(folder) && !source.is_test());
        let inside: Vec<(&str, String)> = inside.map(|source| (source.path.as_str(), code_of(source))).collect();
        assert!(inside.len() > 10, "only {} files in {folder}", inside.len());
        offenders.extend(circles(&inside));
    }
    none("files that import each other in a circle", offenders);
}

#[test]
fn a_circle_is_found_however_it_is_written() {
    let check = |files: &[(&'static str, &str)], expected: &[&str]| {
        let files: Vec<(&str, String)> = files.iter().map(|(file, code)| (*file, (*code).to_owned())).collect();
        assert_eq!(circles(&files), expected);
    };
    let facade = ("a/src/x/mod.rs", "mod one;\nmod two;\npub use one::{One, Other as Another};\npub use two::Two;\n");
    let one = ("a/src/x/one.rs", "use super::two::Two;\n");
    check(&[facade, one, ("a/src/x/two.rs", "use crate::y::One;\n")], &[]);
    let circle = "a/src/x/one.rs → a/src/x/two.rs";
    for back in [
        "use super::one::One;",
        "use super::One;",
        "use crate::x::{\n    other::Thing,\n    one::{One, Other as Another},\n};",
        "fn two() { crate::x::one::one() }",
        "use super::super::x::One;",
    ] {
        check(&[facade, one, ("a/src/x/two.rs", back)], &[circle]);
    }
    let parent = ("a/src/x.rs", "mod one;\nuse one::One;\nfn shared() {}\n");
    check(&[parent, ("a/src/x/one.rs", "use super::shared;\n")], &["a/src/x.rs → a/src/x/one.rs"]);
}
