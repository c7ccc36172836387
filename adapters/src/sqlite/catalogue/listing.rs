//! A page of rows, and how many there are in all. Must never read more rows than the page has.

use super::super::library::Failure;
use onsale_engine::ports::catalogue::{Listed, Page};
use rusqlite::types::Value;
use rusqlite::{Row, Transaction, params_from_iter};

/// Which rows of a list, in which order.
pub(super) struct Listing<'s> {
    /// Columns and tables.
    pub(super) select: &'s str,
    /// The rows, with `?` for each of `values` in order.
    pub(super) condition: &'s str,
    pub(super) values: Vec<Value>,
    /// Complete: no two rows are equal in it.
    pub(super) order: &'s str,
    pub(super) page: Page,
}

impl Listing<'_> {
    pub(super) fn read<T>(
        mut self,
        transaction: &Transaction<'_>,
        item: impl FnMut(&Row<'_>) -> Result<T, Failure>,
    ) -> Result<Listed<T>, Failure> {
        let (_, tables) = self.select.split_once(" FROM ").unwrap_or(("", self.select));
        let total: i64 = transaction
            .prepare_cached(&format!("SELECT count(*) FROM {tables} WHERE {}", self.condition))?
            .query_row(params_from_iter(&self.values), |row| row.get(0))?;
        let skipped = i64::from(self.page.number) * i64::from(self.page.size);
        self.values.extend([Value::Integer(i64::from(self.page.size)), Value::Integer(skipped)]);
        let items = transaction
            .prepare_cached(&format!(
                "SELECT {} WHERE {} ORDER BY {} LIMIT ? OFFSET ?",
                self.select, self.condition, self.order
            ))?
            .query_and_then(params_from_iter(&self.values), item)?
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Listed { items, total: u64::try_from(total).unwrap_or(0) })
    }
}
