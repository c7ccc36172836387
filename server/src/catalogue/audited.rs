//! Writes to the catalogue that the audit log records: who changed which members of a venue, a hall, an event. Must never be on
//! the path of a read.

use crate::app::App;
use crate::http::{Context, Problem};
use crate::member_changes::member_changes;
use onsale_engine::id::BuyerId;
use onsale_engine::ports::catalogue::{Catalogue, CatalogueChange};
use onsale_engine::ports::shared::Described;
use onsale_engine::time::Timestamp;
use serde::Serialize;
use serde_json::Value;
use std::sync::Arc;
use uuid::Uuid;

/// Members that are no change of a thing: it always has them.
const ITS_OWN: [&str; 2] = ["id", "createdAt"];

/// Who changes something, and when.
#[derive(Clone, Copy)]
pub(super) struct Author {
    by: BuyerId,
    at: Timestamp,
}

impl Author {
    /// Who calls, now.
    pub(super) fn of(ctx: &Context) -> Result<Self, Problem> {
        Ok(Self { by: ctx.buyer()?, at: ctx.now() })
    }

    /// The catalogue, whose next write keeps in its transaction what it changes; nothing, where no member differs.
    pub(super) fn audited(
        self,
        app: &App,
        thing: Described,
        action: &str,
        [before, after]: [&Value; 2],
    ) -> Arc<dyn Catalogue> {
        let changes = member_changes(before, after);
        let members = match serde_json::to_string(&changes) {
            Ok(members) if !changes.is_empty() => members,
            Ok(_) | Err(_) => return Arc::clone(&app.catalogue),
        };
        let Self { by, at } = self;
        app.catalogue.noting(CatalogueChange { id: Uuid::now_v7(), thing, at, by, action: action.to_owned(), members })
    }
}

/// A thing as clients see it, without what never changes.
pub(super) fn members_of(thing: &impl Serialize) -> Value {
    let mut value = serde_json::to_value(thing).unwrap_or_default();
    if let Some(members) = value.as_object_mut() {
        members.retain(|name, _| !ITS_OWN.contains(&name.as_str()));
    }
    value
}
