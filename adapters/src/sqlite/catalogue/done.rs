//! What came of deleting or making a row of the catalogue; a row that others use is kept. Must never delete for good.

use super::super::library::Failure;
use onsale_engine::ports::catalogue::CatalogueError;
use rusqlite::Transaction;
use uuid::Uuid;

/// What came of a request to delete or make something.
pub(super) enum Done {
    Yes,
    NoSuchThing,
    InUse(&'static str),
}

impl Done {
    pub(super) fn is_yes(&self) -> bool {
        matches!(self, Self::Yes)
    }

    pub(super) fn answer(self) -> Result<bool, CatalogueError> {
        match self {
            Self::Yes => Ok(true),
            Self::NoSuchThing => Ok(false),
            Self::InUse(by) => Err(CatalogueError::InUse(by)),
        }
    }
}

/// Deletes a row softly; false if there is none.
pub(super) fn delete(transaction: &Transaction<'_>, table: &'static str, id: Uuid) -> Result<bool, Failure> {
    let deleted = transaction
        .prepare_cached(&format!(
            "UPDATE {table} SET deleted_at = CAST(unixepoch('subsec') * 1000000 AS INTEGER)
             WHERE id = ?1 AND deleted_at IS NULL"
        ))?
        .execute([id.into_bytes()])?;
    Ok(deleted == 1)
}

/// Deletes a row softly unless a row of another table uses it.
pub(super) fn delete_unused(
    transaction: &Transaction<'_>,
    table: &'static str,
    (users, column): (&'static str, &'static str),
    id: Uuid,
) -> Result<Done, Failure> {
    let is_used = transaction
        .prepare_cached(&format!("SELECT 1 FROM {users} WHERE {column} = ?1 AND deleted_at IS NULL"))?
        .exists([id.into_bytes()])?;
    if is_used {
        return Ok(Done::InUse(users));
    }
    Ok(if delete(transaction, table, id)? { Done::Yes } else { Done::NoSuchThing })
}
