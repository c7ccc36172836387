//! An administrator's description of an event: read from JSON with every mistake reported, checked as a whole, and converted to
//! the rules of its sale. Must never ask storage: the caller passes the hall.

use crate::catalogue::blocked_seats;
use crate::catalogue::times::Times;
use crate::http::{Mistakes, Object};
use crate::time::midnight_before;
use jiff::tz::TimeZone;
use onsale_engine::id::EventId;
use onsale_engine::limits::{
    HOLDS_PER_SLOT, MAX_CAPACITY, MAX_HOLDS_PER_SLOT, MAX_RATE_PER_SECOND, MAX_SEATS_PER_HOLD,
};
use onsale_engine::money::{Amount, Currency};
use onsale_engine::ports::catalogue::Event;
use onsale_engine::sale::{AdmissionConfig, SaleConfig};
use onsale_engine::text::{composed, same};
use onsale_engine::time::Timestamp;
use serde_json::{Map, Value, json};
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

const TITLE_CHARS: std::ops::RangeInclusive<usize> = 1..=200;
const DESCRIPTION_CHARS: std::ops::RangeInclusive<usize> = 0..=10_000;
const SECONDS_OF_DAY: i64 = 86_400;

/// Everything that can be said of an event.
#[derive(Clone, Debug, PartialEq)]
pub struct EventForm {
    /// Its title.
    pub title: String,
    /// Who performs.
    pub artist: String,
    /// More about it.
    pub description: Option<String>,
    /// Its hall.
    pub hall: Uuid,
    /// When it begins.
    pub starts_at: Timestamp,
    /// When it ends.
    pub ends_at: Timestamp,
    /// When its sale opens.
    pub sale_starts_at: Timestamp,
    /// When its sale ends.
    pub sale_ends_at: Timestamp,
    /// The currency of all its prices.
    pub currency: Currency,
    /// Prices by category, in the caller's order.
    pub prices: Vec<(String, Amount)>,
    /// Seats that are not for sale whatever their category.
    pub blocked_seat_ids: Vec<String>,
    /// Seats that one buyer may have.
    pub max_seats_per_buyer: u16,
    /// How long a hold lasts.
    pub hold: Duration,
    /// Whether a hold may not leave a single free seat behind.
    pub no_orphans: bool,
    /// The waiting room.
    pub admission: AdmissionConfig,
}

impl EventForm {
    /// Reads the members one by one; `None` when one of them is wrong.
    pub fn read(body: &Object<'_>, mistakes: &mut Mistakes) -> Option<Self> {
        let title = body.text(mistakes, "title", TITLE_CHARS);
        let artist = body.text(mistakes, "artist", TITLE_CHARS);
        let description = body.optional_text(mistakes, "description", DESCRIPTION_CHARS);
        let hall = body.id(mistakes, "hallId");
        let starts_at = body.time(mistakes, "startsAt");
        let ends_at = body.time(mistakes, "endsAt");
        let sale_starts_at = body.time(mistakes, "saleStartsAt");
        let sale_ends_at = body.time(mistakes, "saleEndsAt");
        let currency = currency(body, mistakes);
        let prices = prices(body, mistakes);
        let blocked_seat_ids = blocked_seats::read(body, mistakes);
        let max_seats = body.optional_integer(mistakes, "maxSeatsPerBuyer", 1..=MAX_SEATS_PER_HOLD as i64);
        let hold = body.optional_integer(mistakes, "holdSeconds", 1..=3600);
        let no_orphans = body.optional_boolean(mistakes, "noOrphans");
        let admission = admission(body, mistakes);
        if !mistakes.is_empty() {
            return None;
        }
        Some(Self {
            title: title?.to_owned(),
            artist: artist?.to_owned(),
            description: description.filter(|text| !text.is_empty()).map(str::to_owned),
            hall: hall?,
            starts_at: starts_at?,
            ends_at: ends_at?,
            sale_starts_at: sale_starts_at?,
            sale_ends_at: sale_ends_at?,
            currency: currency?,
            prices: prices?,
            blocked_seat_ids: blocked_seat_ids?,
            max_seats_per_buyer: u16::try_from(max_seats.unwrap_or(4)).ok()?,
            hold: seconds(hold.unwrap_or(300)),
            no_orphans: no_orphans.unwrap_or(false),
            admission,
        })
    }

    /// What only shows when members are seen side by side. Reads the body and not a form, so that it is reported along
    /// with all other mistakes; a member that is wrong by itself is skipped here. Of a change, `before` is the body that it
    /// is laid over: what it does not touch is no mistake of it.
    pub fn check_together(
        body: &Object<'_>,
        before: Option<&Value>,
        categories: Option<&[String]>,
        mistakes: &mut Mistakes,
    ) {
        let mut quiet = Mistakes::default();
        let before = before.map(|before| Object::root(before, &mut quiet));
        Times::named_in(body).check(before.as_ref().map(Times::named_in).as_ref(), mistakes);
        let is_new = before.is_none_or(|before| before.value("currency") != body.value("currency"));
        let currency: Option<Currency> =
            body.value("currency").and_then(Value::as_str).and_then(|code| code.parse().ok());
        if is_new && currency.is_some_and(|currency| currency.minor_digits().is_none()) {
            mistakes.add(body.at("currency"), "no currency in use has this code (ISO 4217)");
        }
        let (Some(categories), Some(prices)) = (categories, body.optional_object(&mut quiet, "prices")) else { return };
        let unknown = prices.names().filter(|name| !categories.iter().any(|known| same(known, name)));
        let unknown: Vec<String> = unknown.map(|name| prices.at(name)).collect();
        mistakes.add_all(&unknown, "the hall has no such category");
    }

    /// The rules of the sale but for its blocked seats, prices in the order of `categories`: one that is not named is not for
    /// sale.
    #[must_use]
    pub fn sale(&self, categories: &[String], zone: &TimeZone) -> Option<SaleConfig> {
        let price_of =
            |name: &String| self.prices.iter().find(|(priced, _)| same(priced, name)).map(|&(_, price)| price);
        Some(SaleConfig {
            sale_starts_at: self.sale_starts_at,
            sale_ends_at: self.sale_ends_at,
            cancellation_closes_at: midnight_before(self.starts_at, zone),
            currency: self.currency,
            prices: categories.iter().map(price_of).collect(),
            blocked: Arc::default(),
            max_seats_per_buyer: self.max_seats_per_buyer,
            hold: self.hold,
            no_orphans: self.no_orphans,
            admission: self.admission.clone(),
        })
    }
}

/// What an event would have been made with: the body of its `POST`. `blocked` are the ids of its blocked seats.
#[must_use]
pub fn body_of(event: &Event, categories: &[String], blocked: &[String]) -> Value {
    let SaleConfig { admission, currency, .. } = &event.sale;
    let time = crate::time::rfc3339;
    let prices: Map<String, Value> = categories
        .iter()
        .zip(&event.sale.prices)
        .filter_map(|(name, price)| Some((composed(name).into_owned(), (*price)?.0.into())))
        .collect();
    json!({
        "title": event.title,
        "artist": event.artist,
        "description": event.description,
        "hallId": event.hall.to_string(),
        "startsAt": time(event.starts_at),
        "endsAt": time(event.ends_at),
        "saleStartsAt": time(event.sale.sale_starts_at),
        "saleEndsAt": time(event.sale.sale_ends_at),
        "currency": currency.code(),
        "prices": prices,
        blocked_seats::MEMBER: blocked,
        "maxSeatsPerBuyer": event.sale.max_seats_per_buyer,
        "holdSeconds": event.sale.hold.as_secs(),
        "noOrphans": event.sale.no_orphans,
        "admission": {
            "required": admission.required,
            "ratePerSecond": admission.rate_per_second,
            "capacity": admission.capacity,
            "activeLimit": admission.active_limit,
            "tokenSeconds": admission.token.as_secs(),
            "absentSeconds": admission.absent.as_secs(),
            "draw": admission.draw,
            "roomOpensAt": admission.room_opens_at.map(time),
            "maxHoldsPerSlot": admission.max_holds_per_slot,
        },
    })
}

/// A complete body that a patch can be laid over to see whether the patch itself is well formed.
#[must_use]
pub fn any_body() -> Value {
    let epoch = crate::time::rfc3339(Timestamp::default());
    json!({
        "title": "-", "artist": "-", "hallId": EventId(Uuid::nil()).to_string(), "currency": "KRW",
        "startsAt": epoch, "endsAt": epoch, "saleStartsAt": epoch, "saleEndsAt": epoch, "prices": { "-": 0 },
    })
}

/// Lays a patch over a body (RFC 7396): `null` takes a member away. Prices of another hall replace the old ones.
pub fn lay_over(body: &mut Value, patch: &Value) {
    let moved = patch.get("hallId").is_some_and(|hall| Some(hall) != body.get("hallId"));
    if moved && patch.get("prices").is_some_and(Value::is_object) {
        body["prices"] = json!({});
    }
    merge(body, patch);
}

fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(changes) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    let Value::Object(members) = target else { return };
    for (name, change) in changes {
        if change.is_null() {
            members.remove(name);
        } else {
            merge(members.entry(name.as_str()).or_insert(Value::Null), change);
        }
    }
}

fn seconds(count: i64) -> Duration {
    Duration::from_secs(u64::try_from(count).unwrap_or(0))
}

fn currency(body: &Object<'_>, mistakes: &mut Mistakes) -> Option<Currency> {
    let text = body.text(mistakes, "currency", 1..=100)?;
    text.parse().map_err(|mistake| mistakes.add(body.at("currency"), format!("{mistake}"))).ok()
}

fn prices(body: &Object<'_>, mistakes: &mut Mistakes) -> Option<Vec<(String, Amount)>> {
    let prices = body.object(mistakes, "prices");
    // `null` is no price, as in a patch.
    let priced = || prices.names().filter(|name| prices.value(name).is_some());
    if body.value("prices").is_some_and(Value::is_object) && priced().next().is_none() {
        mistakes.add(body.at("prices"), "at least one category has a price");
    }
    let read = priced().map(|name| {
        let price = prices.integer(mistakes, name, 0..=Amount::MAX_PRICE.0)?;
        Some((name.to_owned(), Amount(price)))
    });
    // All are read before the first that is wrong is given up on.
    let read: Vec<Option<(String, Amount)>> = read.collect();
    read.into_iter().collect()
}

fn admission(body: &Object<'_>, mistakes: &mut Mistakes) -> AdmissionConfig {
    let defaults = AdmissionConfig {
        required: true,
        rate_per_second: 10,
        capacity: 50_000,
        active_limit: None,
        token: seconds(600),
        absent: seconds(300),
        draw: false,
        room_opens_at: None,
        max_holds_per_slot: HOLDS_PER_SLOT,
    };
    let Some(given) = body.optional_object(mistakes, "admission") else { return defaults };
    let mut whole = |member, most| given.optional_integer(mistakes, member, 1..=most);
    let rate = whole("ratePerSecond", i64::from(MAX_RATE_PER_SECOND));
    let capacity = whole("capacity", MAX_CAPACITY as i64);
    let active_limit = whole("activeLimit", MAX_CAPACITY as i64);
    let token = whole("tokenSeconds", SECONDS_OF_DAY);
    let absent = whole("absentSeconds", SECONDS_OF_DAY);
    let holds = whole("maxHoldsPerSlot", i64::from(MAX_HOLDS_PER_SLOT));
    AdmissionConfig {
        required: given.optional_boolean(mistakes, "required").unwrap_or(defaults.required),
        rate_per_second: rate.and_then(|rate| u32::try_from(rate).ok()).unwrap_or(defaults.rate_per_second),
        capacity: capacity.and_then(|count| u64::try_from(count).ok()).unwrap_or(defaults.capacity),
        active_limit: active_limit.and_then(|count| u64::try_from(count).ok()),
        token: token.map_or(defaults.token, seconds),
        absent: absent.map_or(defaults.absent, seconds),
        draw: given.optional_boolean(mistakes, "draw").unwrap_or(defaults.draw),
        room_opens_at: given.optional_time(mistakes, "roomOpensAt"),
        max_holds_per_slot: holds.and_then(|count| u16::try_from(count).ok()).unwrap_or(defaults.max_holds_per_slot),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]
    use super::*;

    fn body() -> Value {
        json!({
            "title": "Evening", "artist": "The Examples", "hallId": Uuid::nil().to_string(),
            "startsAt": "2026-06-01T19:00:00+09:00", "endsAt": "2026-06-01T21:00:00+09:00",
            "saleStartsAt": "2026-05-01T10:00:00Z", "saleEndsAt": "2026-06-01T09:00:00Z",
            "currency": "KRW", "prices": { "VIP": 150000, "S": 90000 },
        })
    }

    fn mistakes_of(body: &Value) -> Vec<String> {
        let mut mistakes = Mistakes::default();
        let root = Object::root(body, &mut mistakes);
        EventForm::read(&root, &mut mistakes);
        EventForm::check_together(&root, None, Some(&["VIP".into(), "S".into()]), &mut mistakes);
        mistakes.refuse().mistakes().iter().map(|mistake| mistake.field.clone()).collect()
    }

    fn read(body: &Value) -> EventForm {
        let mut mistakes = Mistakes::default();
        EventForm::read(&Object::root(body, &mut mistakes), &mut mistakes).unwrap()
    }

    #[test]
    fn what_is_left_out_has_the_contracts_defaults() {
        let form = read(&body());
        assert_eq!((form.max_seats_per_buyer, form.hold.as_secs(), form.no_orphans), (4, 300, false));
        let AdmissionConfig { required, rate_per_second, capacity, active_limit, .. } = form.admission;
        let AdmissionConfig { token, absent, draw, room_opens_at, max_holds_per_slot, .. } = form.admission;
        assert_eq!((required, rate_per_second, capacity, active_limit), (true, 10, 50_000, None));
        assert_eq!((token.as_secs(), absent.as_secs(), draw, room_opens_at), (600, 300, false, None));
        assert_eq!(max_holds_per_slot, 30);
        assert_eq!(mistakes_of(&body()), [""; 0]);
    }

    #[test]
    fn every_mistake_is_named_at_once() {
        let mut wrong = body();
        lay_over(
            &mut wrong,
            &json!({
                "title": " ", "artist": null, "hallId": "7", "endsAt": "2026-06-01T10:00:00Z",
                "saleEndsAt": "2026-05-01T10:00:00Z", "currency": "won", "holdSeconds": 0, "maxSeatsPerBuyer": 101,
                "noOrphans": 1,
            }),
        );
        wrong["prices"] = json!({ "VIP": -1, "B": 2 });
        wrong["admission"] = json!({
            "required": "yes", "ratePerSecond": 0, "capacity": 10_000_001, "activeLimit": 0, "tokenSeconds": 86_401,
            "absentSeconds": 0, "roomOpensAt": "2027-01-01T00:00:00Z", "maxHoldsPerSlot": 10_001,
        });
        let expected = [
            "title",
            "artist",
            "hallId",
            "currency",
            "prices.VIP",
            "maxSeatsPerBuyer",
            "holdSeconds",
            "noOrphans",
            "admission.ratePerSecond",
            "admission.capacity",
            "admission.activeLimit",
            "admission.tokenSeconds",
            "admission.absentSeconds",
            "admission.maxHoldsPerSlot",
            "admission.required",
            "endsAt",
            "saleEndsAt",
            "admission.roomOpensAt",
            "prices.B",
        ];
        assert_eq!(mistakes_of(&wrong), expected);
    }

    #[test]
    fn a_patch_is_laid_over_what_stands() {
        let mut patched = body();
        let patch = json!({
            "title": "Night", "description": "x", "prices": { "VIP": 1 },
            "admission": { "activeLimit": 5, "maxHoldsPerSlot": 7 }, "unknown": 1,
        });
        lay_over(&mut patched, &patch);
        let form = read(&patched);
        assert_eq!((form.title.as_str(), form.description.as_deref()), ("Night", Some("x")));
        assert_eq!((form.admission.active_limit, form.admission.max_holds_per_slot), (Some(5), 7));
        let price = |name: &str| form.prices.iter().find(|(priced, _)| priced == name).map(|(_, price)| price.0);
        assert_eq!((price("VIP"), price("S")), (Some(1), Some(90_000)));
        lay_over(&mut patched, &json!({ "admission": { "activeLimit": null }, "description": null }));
        let form = read(&patched);
        assert_eq!((form.admission.active_limit, form.description), (None, None));
        lay_over(&mut patched, &json!({ "hallId": Uuid::max().to_string(), "prices": { "B": 7 } }));
        assert_eq!(read(&patched).prices, [("B".to_owned(), Amount(7))]);
    }

    #[test]
    fn prices_follow_the_order_of_the_plan() {
        let sale = read(&body()).sale(&["S".into(), "VIP".into()], &TimeZone::UTC).unwrap();
        assert_eq!(sale.prices, [Some(Amount(90_000)), Some(Amount(150_000))]);
    }

    #[test]
    fn a_category_without_a_price_is_not_for_sale() {
        let sale = read(&body()).sale(&["S".into(), "B".into()], &TimeZone::UTC).unwrap();
        assert_eq!(sale.prices, [Some(Amount(90_000)), None]);
        let with = |prices: Value| {
            let mut body = body();
            body["prices"] = prices;
            mistakes_of(&body)
        };
        assert_eq!(with(json!({ "VIP": 1 })), [""; 0]);
        assert_eq!(with(json!({ "VIP": 1, "S": null })), [""; 0]);
        assert_eq!(with(json!({})), ["prices"]);
        assert_eq!(with(json!({ "VIP": null })), ["prices"]);
        assert_eq!(with(json!({ "VIP": 1, "B": null })), ["prices.B"], "a category that the hall does not have");
    }

    #[test]
    fn the_body_of_any_patch_is_complete() {
        read(&any_body());
    }
}
