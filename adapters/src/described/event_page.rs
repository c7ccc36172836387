//! The form in which a page of the list of events lies in a cache. Must never hold what is live of an event.

use super::{Cached, VERSION, id};
use onsale_engine::id::EventId;
use onsale_engine::money::Amount;
use onsale_engine::ports::catalogue::{Listed, ListedEvent};
use onsale_engine::time::Timestamp;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct PageForm {
    version: u32,
    items: Vec<ItemForm>,
    total: u64,
}

#[derive(Serialize, Deserialize)]
struct ItemForm {
    id: String,
    title: String,
    artist: String,
    venue_name: String,
    starts_at: i64,
    sale_starts_at: i64,
    sale_ends_at: i64,
    cancelled: bool,
    currency: String,
    price_range: (i64, i64),
}

impl Cached for Listed<ListedEvent> {
    fn written(&self) -> Option<Vec<u8>> {
        let items = self.items.iter().map(ItemForm::from).collect();
        serde_json::to_vec(&PageForm { version: VERSION, items, total: self.total }).ok()
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let form: PageForm = serde_json::from_slice(bytes).ok().filter(|form: &PageForm| form.version == VERSION)?;
        let items = form.items.into_iter().map(ItemForm::item).collect::<Option<_>>()?;
        Some(Self { items, total: form.total })
    }
}

impl From<&ListedEvent> for ItemForm {
    fn from(item: &ListedEvent) -> Self {
        Self {
            id: item.id.to_string(),
            title: item.title.clone(),
            artist: item.artist.clone(),
            venue_name: item.venue_name.clone(),
            starts_at: item.starts_at.0,
            sale_starts_at: item.sale_starts_at.0,
            sale_ends_at: item.sale_ends_at.0,
            cancelled: item.cancelled,
            currency: item.currency.code().to_owned(),
            price_range: (item.price_range.0.0, item.price_range.1.0),
        }
    }
}

impl ItemForm {
    fn item(self) -> Option<ListedEvent> {
        Some(ListedEvent {
            id: EventId(id(&self.id)?),
            title: self.title,
            artist: self.artist,
            venue_name: self.venue_name,
            starts_at: Timestamp(self.starts_at),
            sale_starts_at: Timestamp(self.sale_starts_at),
            sale_ends_at: Timestamp(self.sale_ends_at),
            cancelled: self.cancelled,
            currency: self.currency.parse().ok()?,
            price_range: (Amount(self.price_range.0), Amount(self.price_range.1)),
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may end on its first surprise")]
    use super::*;
    use uuid::Uuid;

    #[test]
    fn a_page_is_read_as_it_was_kept() {
        let item = ListedEvent {
            id: EventId(Uuid::from_u128(1)),
            title: "An \"evening\" – 밤".into(),
            artist: "x".into(),
            venue_name: "House".into(),
            starts_at: Timestamp(-7),
            sale_starts_at: Timestamp(8),
            sale_ends_at: Timestamp(9),
            cancelled: true,
            currency: "KRW".parse().unwrap(),
            price_range: (Amount(1), Amount(2)),
        };
        let page = Listed { items: vec![item], total: 21 };
        let bytes = page.written().unwrap();
        assert_eq!(Listed::<ListedEvent>::read(&bytes).unwrap(), page);
        // Another version, or anything else, is not there.
        let later = String::from_utf8(bytes).unwrap().replace("\"version\":1", "\"version\":2");
        for strange in [later.as_bytes(), b"", b"{}", br#"{"version":1,"items":[{}],"total":1}"#] {
            assert!(Listed::<ListedEvent>::read(strange).is_none());
        }
    }
}
