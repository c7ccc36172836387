//! The counts that are kept in the repository, and whether new ones are more than that. Must never pass what it does not know.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

/// How much more than what is kept a path may take.
pub const TOLERANCE_PERCENT: u64 = 5;

/// The first lines of the file.
const HEAD: &str = "\
# Instructions of the hot path, one round of each, as valgrind's callgrind counts them: written by scripts/instructions --keep,
# compared by scripts/instructions (docs/performance.md). More than 5 % above what stands here is a failure.
";

/// The file: what was counted, and with what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kept {
    /// The compiler.
    pub rustc: String,
    /// The profile that it compiled with.
    pub profile: String,
    /// Who counted.
    pub valgrind: String,
    /// Instructions of each path.
    pub instructions: BTreeMap<String, u64>,
}

/// Why there are no counts to compare with.
#[derive(Debug, thiserror::Error)]
pub enum KeptError {
    /// The file could not be read or written.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// It is not what `--keep` writes.
    #[error(transparent)]
    Form(#[from] toml::de::Error),
    /// It could not be made.
    #[error(transparent)]
    Text(#[from] toml::ser::Error),
}

impl Kept {
    /// Reads the file.
    ///
    /// # Errors
    /// See [`KeptError`].
    pub fn read(file: &Path) -> Result<Self, KeptError> {
        Ok(toml::from_str(&std::fs::read_to_string(file)?)?)
    }

    /// Rewrites it.
    ///
    /// # Errors
    /// See [`KeptError`].
    pub fn write(&self, file: &Path) -> Result<(), KeptError> {
        Ok(std::fs::write(file, format!("{HEAD}{}", toml::to_string(self)?))?)
    }
}

/// One path, as it is kept and as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Its name.
    pub path: String,
    /// Instructions that are kept.
    pub kept: Option<u64>,
    /// Instructions now.
    pub now: Option<u64>,
}

/// What is to be said of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// About as many as are kept.
    Same,
    /// So many fewer that they should be kept: else they may come back unseen.
    Fewer,
    /// More than may be.
    More,
    /// It is counted, and nothing is kept to compare it with.
    NotKept,
    /// It is kept, and was not counted.
    NotCounted,
}

impl Row {
    /// What is to be said of it.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        match (self.kept, self.now) {
            (Some(kept), Some(now)) if now * 100 > kept * (100 + TOLERANCE_PERCENT) => Verdict::More,
            (Some(kept), Some(now)) if now * 100 < kept * (100 - TOLERANCE_PERCENT) => Verdict::Fewer,
            (Some(_), Some(_)) => Verdict::Same,
            (None, _) => Verdict::NotKept,
            (Some(_), None) => Verdict::NotCounted,
        }
    }

    /// Whether it may be.
    #[must_use]
    pub fn passes(&self) -> bool {
        matches!(self.verdict(), Verdict::Same | Verdict::Fewer)
    }
}

/// Every path that is kept or counted.
#[derive(Clone, Debug)]
pub struct Comparison {
    /// By name.
    pub rows: Vec<Row>,
}

impl Comparison {
    /// What is kept beside what was counted now.
    #[must_use]
    pub fn new(kept: &BTreeMap<String, u64>, now: &BTreeMap<String, u64>) -> Self {
        let mut paths: Vec<&String> = kept.keys().chain(now.keys()).collect();
        paths.sort_unstable();
        paths.dedup();
        let row =
            |path: &String| Row { path: path.clone(), kept: kept.get(path).copied(), now: now.get(path).copied() };
        Self { rows: paths.into_iter().map(row).collect() }
    }

    /// Whether there is anything, and all of it passes.
    #[must_use]
    pub fn passes(&self) -> bool {
        !self.rows.is_empty() && self.rows.iter().all(Row::passes)
    }

    /// For people.
    #[must_use]
    pub fn table(&self) -> String {
        let width = self.rows.iter().map(|row| row.path.len()).max().unwrap_or(0);
        let mut out = format!("{:width$}  {:>9}  {:>9}  {:>7}\n", "path", "kept", "now", "%");
        for row in &self.rows {
            let figure = |figure: Option<u64>| figure.map_or("–".to_owned(), |figure| figure.to_string());
            let change = row.kept.zip(row.now).map(|(kept, now)| (now as f64 / kept as f64 - 1.0) * 100.0);
            let change = change.map_or("–".to_owned(), |change| format!("{change:+.2}"));
            let words = match row.verdict() {
                Verdict::Same => "",
                Verdict::Fewer => "  fewer: keep it with --keep",
                Verdict::More => "  TOO MANY",
                Verdict::NotKept => "  NOT KEPT: keep it with --keep",
                Verdict::NotCounted => "  NOT COUNTED",
            };
            let (kept, now) = (figure(row.kept), figure(row.now));
            let _ = writeln!(out, "{:width$}  {kept:>9}  {now:>9}  {change:>7}{words}", row.path);
        }
        out
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may end on its first surprise")]
    use super::*;

    fn counts(counts: &[(&str, u64)]) -> BTreeMap<String, u64> {
        counts.iter().map(|(path, count)| ((*path).to_owned(), *count)).collect()
    }

    #[test]
    fn five_percent_more_pass_and_anything_beyond_fails() {
        let check = |now: u64, expected: Verdict| {
            let comparison = Comparison::new(&counts(&[("hold", 10_000)]), &counts(&[("hold", now)]));
            assert_eq!(comparison.rows[0].verdict(), expected, "{now}");
            assert_eq!(comparison.passes(), expected != Verdict::More, "{now}");
        };
        check(10_490, Verdict::Same);
        check(10_500, Verdict::Same);
        check(10_501, Verdict::More);
        check(10_510, Verdict::More);
        check(9_500, Verdict::Same);
        check(9_499, Verdict::Fewer);
    }

    #[test]
    fn a_path_that_is_missing_on_either_side_fails() {
        let (one, two) = (counts(&[("hold", 100)]), counts(&[("hold", 100), ("status", 50)]));
        assert!(Comparison::new(&two, &two).passes());
        for (kept, now, expected) in [(&one, &two, Verdict::NotKept), (&two, &one, Verdict::NotCounted)] {
            let comparison = Comparison::new(kept, now);
            assert_eq!(comparison.rows[1].verdict(), expected);
            assert!(!comparison.passes(), "{expected:?}");
        }
        let nothing = BTreeMap::new();
        assert!(!Comparison::new(&nothing, &nothing).passes(), "nothing was compared");
    }

    #[test]
    fn the_table_names_what_fails() {
        let table =
            Comparison::new(&counts(&[("a hold", 1000), ("gone", 7)]), &counts(&[("a hold", 1051), ("new", 8)]))
                .table();
        let lines: Vec<&str> = table.lines().collect();
        assert_eq!(lines[0], "path         kept        now        %");
        assert_eq!(lines[1], "a hold       1000       1051    +5.10  TOO MANY");
        assert_eq!(lines[2], "gone            7          –        –  NOT COUNTED");
        assert_eq!(lines[3], "new             –          8        –  NOT KEPT: keep it with --keep");
    }

    #[test]
    fn what_is_written_is_read_again() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("instructions.toml");
        let kept = Kept {
            rustc: "rustc 1.95.0".to_owned(),
            profile: "instructions".to_owned(),
            valgrind: "valgrind-3.19.0".to_owned(),
            instructions: counts(&[("hold, over HTTP", 40_000)]),
        };
        kept.write(&file).unwrap();
        assert_eq!(Kept::read(&file).unwrap(), kept);
        std::fs::write(&file, "rustc = \"1\"\n").unwrap();
        assert!(matches!(Kept::read(&file), Err(KeptError::Form(_))));
        assert!(matches!(Kept::read(&dir.path().join("none")), Err(KeptError::Io(_))));
    }
}
