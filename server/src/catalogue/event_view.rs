//! An event as clients read it: the catalogue's description, and what is live (seats, categories, admission, status), taken from
//! the sale's read view at the time of the request. Must never answer the live part from anything older.

use crate::reservations::CountsJson;
use crate::time::rfc3339;
use onsale_engine::plan::Plan;
use onsale_engine::ports::catalogue::{Event, EventStatus, ListedEvent};
use onsale_engine::runtime::Found;
use onsale_engine::sale::draw::{Draw, DrawSeed, DrawView};
use onsale_engine::sale::{Sale, SaleConfig, SalePhase, SaleSummary, SeatCounts, Steering, SteeringView};
use onsale_engine::time::Timestamp;
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What is live of an event: copied from the read view in one short lock.
pub struct Live {
    /// The rules of the sale.
    pub config: SaleConfig,
    /// Whether the sale was cancelled.
    pub cancelled: bool,
    counts: SeatCounts,
    /// Each category's name and its seats.
    categories: Vec<(Box<str>, SeatCounts)>,
    steering: SteeringView,
    draw: Option<DrawView>,
    /// When it begins and ends, where it was postponed: the catalogue follows.
    times: Option<(Timestamp, Timestamp)>,
}

impl Live {
    /// The live part of an event that has its rules, in memory or not.
    #[must_use]
    pub fn found(found: &Found) -> Option<Self> {
        match found {
            Found::Loaded(sale) => Self::of(&sale.view()),
            Found::Unloaded(summary) => Some(Self::of_summary(summary)),
        }
    }

    fn of_summary(summary: &SaleSummary) -> Self {
        Self {
            config: summary.config.clone(),
            cancelled: summary.phase == SalePhase::Cancelled,
            counts: summary.counts(),
            categories: summary.categories.to_vec(),
            steering: summary.steering_view(),
            draw: summary.draw,
            times: None,
        }
    }

    /// The live part of a sale that has its rules.
    #[must_use]
    pub fn of(sale: &Sale) -> Option<Self> {
        Some(Self {
            config: sale.config()?.clone(),
            cancelled: sale.phase() == SalePhase::Cancelled,
            counts: sale.counts(),
            categories: named(sale.plan()?, sale.category_counts()),
            steering: sale.steering()?,
            draw: sale.draw().map(Draw::view),
            times: sale.schedule().map(|has| (has.starts_at, has.ends_at)),
        })
    }

    /// The live part of an event that is being made: nobody has come yet, and a draw will have this seed.
    #[must_use]
    pub fn of_new(plan: &Arc<Plan>, config: &SaleConfig, seed: DrawSeed) -> Self {
        let draw = DrawView { commitment: seed.commitment(), cohort: None, seed: None };
        let (mut counts, mut categories) =
            (SeatCounts::default(), vec![SeatCounts::default(); plan.categories().len()]);
        for segment in plan.segments() {
            let count = segment.seats.len() as u32;
            for counts in categories.get_mut(segment.category.at()).into_iter().chain([&mut counts]) {
                (counts.total, counts.available) = (counts.total + count, counts.available + count);
            }
        }
        for seat in config.seats_not_for_sale(plan) {
            for counts in categories.get_mut(plan.seat_category(seat).at()).into_iter().chain([&mut counts]) {
                (counts.available, counts.blocked) = (counts.available - 1, counts.blocked + 1);
            }
        }
        let steering = Steering::initial(&config.admission);
        Self {
            config: config.clone(),
            cancelled: false,
            counts,
            categories: named(plan, categories),
            steering: SteeringView { steering, waiting: 0, active: 0, admitted_total: 0 },
            draw: config.admission.draw.then_some(draw),
            times: None,
        }
    }

    /// What operators have made of the waiting room's rules.
    #[must_use]
    pub fn steering(&self) -> &Steering {
        &self.steering.steering
    }

    /// The status at `now` of an event that has its rules, in memory or not.
    #[must_use]
    pub fn status_of(found: &Found, now: Timestamp) -> Option<EventStatus> {
        let (phase, times, counts) = match found {
            Found::Loaded(sale) => {
                let view = sale.view();
                let config = view.config()?;
                (view.phase(), (config.sale_starts_at, config.sale_ends_at), view.counts())
            }
            Found::Unloaded(summary) => {
                let config = &summary.config;
                (summary.phase, (config.sale_starts_at, config.sale_ends_at), summary.counts())
            }
        };
        Some(status(phase == SalePhase::Cancelled, times, counts, now))
    }

    /// The status at `now`.
    #[must_use]
    pub fn status(&self, now: Timestamp) -> EventStatus {
        status(self.cancelled, (self.config.sale_starts_at, self.config.sale_ends_at), self.counts, now)
    }
}

fn named(plan: &Plan, counts: Vec<SeatCounts>) -> Vec<(Box<str>, SeatCounts)> {
    plan.categories().iter().map(|category| Box::from(category.name.as_str())).zip(counts).collect()
}

/// An event's status, as the HTTP contract computes it.
fn status(cancelled: bool, (opens, ends): (Timestamp, Timestamp), counts: SeatCounts, now: Timestamp) -> EventStatus {
    if cancelled {
        EventStatus::Cancelled
    } else if now < opens {
        EventStatus::Upcoming
    } else if now >= ends {
        EventStatus::Ended
    } else if counts.is_sold_out() {
        EventStatus::SoldOut
    } else {
        EventStatus::OnSale
    }
}

/// The contract's words for the status.
pub const STATUS_WORDS: [(&str, EventStatus); 5] = [
    ("UPCOMING", EventStatus::Upcoming),
    ("ON_SALE", EventStatus::OnSale),
    ("SOLD_OUT", EventStatus::SoldOut),
    ("ENDED", EventStatus::Ended),
    ("CANCELLED", EventStatus::Cancelled),
];

fn status_word(status: EventStatus) -> &'static str {
    STATUS_WORDS.iter().find(|(_, known)| *known == status).map_or("", |(word, _)| word)
}

/// An event in a list.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EventItemJson<'a> {
    id: String,
    title: &'a str,
    artist: &'a str,
    venue_name: &'a str,
    starts_at: String,
    sale_starts_at: String,
    status: &'static str,
    currency: &'a str,
    min_price: i64,
    max_price: i64,
}

impl<'a> EventItemJson<'a> {
    /// Writes an event down for a list; without a sale its status is what its times say.
    #[must_use]
    pub fn new(event: &'a ListedEvent, live: Option<EventStatus>, now: Timestamp) -> Self {
        let times = (event.sale_starts_at, event.sale_ends_at);
        let status = live.unwrap_or_else(|| status(event.cancelled, times, SeatCounts::default(), now));
        let (min, max) = event.price_range;
        Self {
            id: event.id.to_string(),
            title: &event.title,
            artist: &event.artist,
            venue_name: &event.venue_name,
            starts_at: rfc3339(event.starts_at),
            sale_starts_at: rfc3339(event.sale_starts_at),
            status: status_word(status),
            currency: event.currency.code(),
            min_price: min.0,
            max_price: max.0,
        }
    }
}

/// The whole event.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EventJson<'a> {
    #[serde(flatten)]
    item: EventItemJson<'a>,
    description: Option<&'a str>,
    venue_id: String,
    hall_id: String,
    ends_at: String,
    sale_ends_at: String,
    cancellation_closes_at: String,
    prices: BTreeMap<&'a str, i64>,
    /// Categories without a price.
    not_for_sale: Vec<&'a str>,
    max_seats_per_buyer: u16,
    hold_seconds: u64,
    no_orphans: bool,
    seats: CountsJson,
    categories: Vec<CategoryJson<'a>>,
    admission: AdmissionJson<'a>,
    created_at: String,
}

#[derive(Serialize)]
struct CategoryJson<'a> {
    name: &'a str,
    /// `null`: not for sale.
    price: Option<i64>,
    total: u32,
    available: u32,
    blocked: u32,
}

/// The waiting room's rules and what operators have made of them.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AdmissionJson<'a> {
    required: bool,
    rate_per_second: u32,
    capacity: u64,
    active_limit: Option<u64>,
    token_seconds: u64,
    absent_seconds: u64,
    max_holds_per_slot: u16,
    draw: bool,
    /// The hash of the draw's seed, where there is a draw.
    #[serde(skip_serializing_if = "Option::is_none")]
    draw_commitment: Option<String>,
    room_opens_at: Option<String>,
    paused: bool,
    closed: bool,
    message: Option<&'a str>,
    waiting: u64,
    active: u64,
    admitted_total: u64,
}

impl<'a> AdmissionJson<'a> {
    /// Writes the waiting room down.
    #[must_use]
    pub fn new(config: &SaleConfig, view: &'a SteeringView, draw: Option<DrawView>) -> Self {
        let (rules, steering) = (&config.admission, &view.steering);
        Self {
            required: steering.required,
            rate_per_second: steering.rate_per_second,
            capacity: rules.capacity,
            active_limit: steering.active_limit,
            token_seconds: rules.token.as_secs(),
            absent_seconds: rules.absent.as_secs(),
            max_holds_per_slot: rules.max_holds_per_slot,
            draw: rules.draw,
            draw_commitment: draw.map(|draw| draw.commitment.to_string()),
            room_opens_at: rules.room_opens_at.map(rfc3339),
            paused: steering.paused,
            closed: steering.closed,
            message: steering.message.as_deref(),
            waiting: view.waiting,
            active: view.active,
            admitted_total: view.admitted_total,
        }
    }
}

impl<'a> EventJson<'a> {
    /// Writes the whole event down.
    #[must_use]
    pub fn new(event: &'a Event, live: &'a Live, now: Timestamp) -> Self {
        let Live { config, categories, .. } = live;
        let priced = || categories.iter().zip(config.prices.iter().copied());
        let (min, max) = config.price_range().unwrap_or(event.price_range);
        let (starts_at, ends_at) = live.times.unwrap_or((event.starts_at, event.ends_at));
        let item = EventItemJson {
            id: event.id.to_string(),
            title: &event.title,
            artist: &event.artist,
            venue_name: &event.venue_name,
            starts_at: rfc3339(starts_at),
            sale_starts_at: rfc3339(config.sale_starts_at),
            status: status_word(live.status(now)),
            currency: event.sale.currency.code(),
            min_price: min.0,
            max_price: max.0,
        };
        Self {
            item,
            description: event.description.as_deref(),
            venue_id: event.venue.to_string(),
            hall_id: event.hall.to_string(),
            ends_at: rfc3339(ends_at),
            sale_ends_at: rfc3339(config.sale_ends_at),
            cancellation_closes_at: rfc3339(config.cancellation_closes_at),
            prices: priced().filter_map(|((name, _), price)| Some((&**name, price?.0))).collect(),
            not_for_sale: priced().filter(|(_, price)| price.is_none()).map(|((name, _), _)| &**name).collect(),
            max_seats_per_buyer: config.max_seats_per_buyer,
            hold_seconds: config.hold.as_secs(),
            no_orphans: config.no_orphans,
            seats: live.counts.into(),
            categories: priced()
                .map(|((name, counts), price)| CategoryJson {
                    name,
                    price: price.map(|price| price.0),
                    total: counts.total,
                    available: counts.available,
                    blocked: counts.blocked,
                })
                .collect(),
            admission: AdmissionJson::new(config, &live.steering, live.draw),
            created_at: rfc3339(event.created_at),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_is_what_comes_first_in_the_contract() {
        let times = (Timestamp(10), Timestamp(20));
        let check = |cancelled: bool, sold: u32, now: i64, expected: &str| {
            let counts = SeatCounts { total: 3, available: 2 - sold, held: 0, sold, blocked: 1 };
            assert_eq!(status_word(status(cancelled, times, counts, Timestamp(now))), expected);
        };
        check(true, 2, 5, "CANCELLED");
        check(false, 2, 9, "UPCOMING");
        check(false, 2, 20, "ENDED");
        check(false, 2, 10, "SOLD_OUT");
        check(false, 1, 19, "ON_SALE");
        let blocked = SeatCounts { total: 3, blocked: 3, ..SeatCounts::default() };
        assert_eq!(status_word(status(false, times, blocked, Timestamp(10))), "ON_SALE", "nothing was sold");
    }
}
