//! The mistakes of one request, each with its path, collected and answered together. Must never refuse on the first one.

use crate::http::problem::{FieldMistake, Problem};

/// Mistakes reported in one answer; further ones are dropped.
const MOST_REPORTED: usize = 100;
/// A mistake at more places than this is reported once, with the first of them.
const MOST_PLACES: usize = 10;

/// The mistakes found so far.
#[derive(Debug, Default)]
pub struct Mistakes(pub(super) Vec<FieldMistake>);

impl Mistakes {
    /// Adds one at a path.
    pub fn add(&mut self, field: impl Into<String>, message: impl Into<String>) {
        if self.0.len() < MOST_REPORTED {
            self.0.push(FieldMistake { field: field.into(), message: message.into() });
        }
    }

    /// Adds the same one at several paths: at each of them if they are few, else once, with the first of them.
    pub fn add_all(&mut self, fields: &[String], message: &str) {
        if fields.len() <= MOST_PLACES {
            fields.iter().for_each(|field| self.add(field.as_str(), message));
        } else if let Some(first) = fields.first() {
            let named = fields[..3].join(", ");
            self.add(first.as_str(), format!("{message} ({} times: {named}, …)", fields.len()));
        }
    }

    /// Whether there is none so far.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Continues only when there is none.
    ///
    /// # Errors
    /// 400 `VALIDATION_FAILED` with all of them.
    pub fn check(&mut self) -> Result<(), Problem> {
        if self.0.is_empty() { Ok(()) } else { Err(self.refuse()) }
    }

    /// 400 `VALIDATION_FAILED` with all of them; for the `else` of a `let` that takes required members apart.
    pub fn refuse(&mut self) -> Problem {
        Problem::validation(std::mem::take(&mut self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_cause_at_many_places_is_named_once() {
        let fields: Vec<String> = (0..50).map(|n| format!("prices.{n}")).collect();
        let mut mistakes = Mistakes::default();
        mistakes.add_all(&fields[..10], "unknown");
        assert_eq!(mistakes.0.len(), 10);
        mistakes.add_all(&fields, "unknown");
        assert_eq!((mistakes.0.len(), mistakes.0[10].field.as_str()), (11, "prices.0"));
        assert_eq!(mistakes.0[10].message, "unknown (50 times: prices.0, prices.1, prices.2, …)");
    }
}
