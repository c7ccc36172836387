//! Where in the file a key stands, so that a mistake and a value can be reported with it. Must never keep a value.

use std::collections::BTreeMap;
use toml::de::DeTable;

/// The line, from 1, of every section and every `section.key`.
#[derive(Clone, Debug, Default)]
pub(super) struct Lines(BTreeMap<String, usize>);

impl Lines {
    /// Of a file that is no TOML: none.
    pub(super) fn of(text: &str) -> Self {
        let mut lines = BTreeMap::new();
        let line = |at: usize| text.get(..at).unwrap_or(text).matches('\n').count() + 1;
        if let Ok(file) = DeTable::parse(text) {
            for (section, value) in file.get_ref().iter() {
                let name = section.get_ref();
                lines.insert(name.to_string(), line(section.span().start));
                for (key, _) in value.get_ref().as_table().into_iter().flat_map(|keys| keys.iter()) {
                    lines.insert(format!("{name}.{}", key.get_ref()), line(key.span().start));
                }
            }
        }
        Self(lines)
    }

    /// The line of a section or key.
    pub(super) fn find(&self, place: &str) -> Option<usize> {
        self.0.get(place).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::Lines;

    #[test]
    fn keys_are_found_by_their_line() {
        let lines = Lines::of("# a comment\n[server]\nlisten = \"x\"\n\n[log]\n  level = \"info\"\n");
        let found = ["server", "server.listen", "log", "log.level", "log.format"].map(|place| lines.find(place));
        assert_eq!(found, [Some(2), Some(3), Some(5), Some(6), None]);
        assert_eq!(Lines::of("[server").find("server"), None);
    }
}
