//! What administrators did: who, when, what, why, and every member that changed. What they did to a sale is read from the
//! journal itself, so that it cannot say anything else than what has happened; what they did to the descriptive part of an
//! event, to venues and to halls, from what the catalogue kept with the change.

use crate::catalogue::blocked_seats;
use crate::http::{Context, Mistakes, Problem, Request, Response, response};
use crate::member_changes::{MemberChange, member_changes};
use crate::reservations::PageJson;
use crate::time::rfc3339;
use onsale_engine::id::{EventId, ReservationId, SeatIndex};
use onsale_engine::plan::Plan;
use onsale_engine::ports::catalogue::CatalogueChange;
use onsale_engine::ports::shared::Described;
use onsale_engine::sale::{Entry, Fact, RescheduleCause, SaleConfig, Steering};
use onsale_engine::time::Timestamp;
use onsale_engine::trace::Scope;
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Changes of one thing that are read: the newest. Nobody makes more by hand; the oldest beyond them are left out.
const MOST_READ: u32 = 10_000;

/// Something that an administrator did.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ActionJson {
    #[serde(skip_serializing_if = "Option::is_none")]
    event_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    venue_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hall_id: Option<String>,
    /// The position in the event's journal, for what is in it.
    seq: Option<u64>,
    at: String,
    by: String,
    action: String,
    reason: Option<String>,
    /// Which reservation, where it was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    reservation_id: Option<String>,
    /// Every member that changed.
    changes: Vec<MemberChange>,
    /// What held from then on, for what is in the journal.
    after: Value,
    #[serde(skip)]
    when: Timestamp,
}

impl ActionJson {
    fn new(thing: Described, at: Timestamp, by: String, action: &str) -> Self {
        let (mut event_id, mut venue_id, mut hall_id) = (None, None, None);
        match thing {
            Described::Event(id) => event_id = Some(id.to_string()),
            Described::Venue(id) => venue_id = Some(id.to_string()),
            Described::Hall(id) => hall_id = Some(id.to_string()),
        }
        Self {
            event_id,
            venue_id,
            hall_id,
            seq: None,
            at: rfc3339(at),
            by,
            action: action.to_owned(),
            reason: None,
            reservation_id: None,
            changes: Vec::new(),
            after: Value::Null,
            when: at,
        }
    }

    /// Of a change that the catalogue kept.
    fn kept(change: &CatalogueChange) -> Self {
        let changes = serde_json::from_str(&change.members).unwrap_or_default();
        Self { changes, ..Self::new(change.thing, change.at, change.by.to_string(), &change.action) }
    }

    /// Of a fact; `before` is what held until it, and becomes what holds after it. `seats` follows the blocked seats alike.
    fn of_fact(event: EventId, entry: &Entry, before: &mut Value, seats: &mut BlockedSeats) -> Option<Self> {
        let by = entry.fact.by_operator()?.to_string();
        if let Some((action, reason, change)) = seats.follow(&entry.fact, before) {
            let (seq, reason, changes) = (Some(entry.seq.0), Some(reason.to_owned()), vec![change]);
            return Some(Self { seq, reason, changes, ..Self::new(Described::Event(event), entry.at, by, action) });
        }
        if let Some((action, reservation, after)) = of_reservation(&entry.fact) {
            let action = Self::new(Described::Event(event), entry.at, by, action);
            let reason = entry.fact.reason_of_operator().map(str::to_owned);
            let reservation_id = Some(reservation.to_string());
            return Some(Self { seq: Some(entry.seq.0), reason, reservation_id, after, ..action });
        }
        let (action, reason, after) = described(&entry.fact)?;
        let mut holds = before.clone();
        if let (Value::Object(all), Value::Object(new)) = (&mut holds, &after) {
            all.extend(new.clone());
        }
        let changes = member_changes(before, &holds);
        *before = holds;
        let action = Self::new(Described::Event(event), entry.at, by, action);
        Some(Self { seq: Some(entry.seq.0), reason: reason.map(str::to_owned), changes, after, ..action })
    }
}

/// What was done to one reservation of the event: the action's name, which, and what became of it.
fn of_reservation(fact: &Fact) -> Option<(&'static str, ReservationId, Value)> {
    if let Fact::CancelledByOperator { reservation, refund, .. } = fact {
        return Some(("RESERVATION_CANCELLED", *reservation, json!({ "refundAmount": refund.0 })));
    }
    if let Fact::ReleasedByOperator { reservation, .. } = fact {
        return Some(("HOLD_RELEASED", *reservation, Value::Null));
    }
    None
}

/// The action's name, its reason, and what held from then on.
fn described(fact: &Fact) -> Option<(&'static str, Option<&str>, Value)> {
    if let Fact::Configured { config, plan, .. } = fact {
        return Some(("RULES_SET", None, rules(config, plan)));
    }
    if let Fact::Steered { steering, reason, .. } = fact {
        return Some(("ADMISSION_STEERED", reason.as_deref(), steered(steering)));
    }
    if let Fact::Rescheduled { sale_ends_at, cancellation_closes_at, cause, reason, .. } = fact {
        let (action, after) = rescheduled(*sale_ends_at, *cancellation_closes_at, cause);
        return Some((action, reason.as_deref(), after));
    }
    let ends = [
        (matches!(fact, Fact::SaleCancelled { .. }), "SALE_CANCELLED"),
        (matches!(fact, Fact::SaleRetired { .. }), "EVENT_DELETED"),
    ];
    ends.into_iter().find(|(is, _)| *is).map(|(_, action)| (action, None, Value::Null))
}

/// The blocked seats of a sale, as its facts change them.
#[derive(Default)]
struct BlockedSeats {
    seats: BTreeSet<SeatIndex>,
    /// Names them, once its fact was seen.
    plan: Option<Arc<Plan>>,
}

impl BlockedSeats {
    /// Follows a fact; of one that blocks or frees seats: the action, its reason, and the seats that it names. Before others
    /// `holds` is given the blocked seats, so that new rules are compared with what held.
    fn follow<'f>(&mut self, fact: &'f Fact, holds: &mut Value) -> Option<(&'static str, &'f str, MemberChange)> {
        if let Fact::SeatsBlocked { seats, reason, .. } = fact {
            self.seats.extend(seats);
            return Some(("SEATS_BLOCKED", reason, change(Value::Null, self.named(seats))));
        }
        if let Fact::SeatsUnblocked { seats, reason, .. } = fact {
            self.seats.retain(|seat| seats.binary_search(seat).is_err());
            return Some(("SEATS_UNBLOCKED", reason, change(self.named(seats), Value::Null)));
        }
        if let Fact::Configured { config, plan, .. } = fact {
            if self.plan.is_some() {
                let before: Vec<SeatIndex> = self.seats.iter().copied().collect();
                holds[blocked_seats::MEMBER] = self.named(&before);
            }
            (self.seats, self.plan) = (config.blocked.iter().copied().collect(), Some(Arc::clone(plan)));
        }
        None
    }

    fn named(&self, seats: &[SeatIndex]) -> Value {
        match &self.plan {
            Some(plan) => json!(blocked_seats::ids(seats, plan)),
            // The rules are older than the changes that are read.
            None => seats.iter().map(|seat| seat.0).collect(),
        }
    }
}

fn change(from: Value, to: Value) -> MemberChange {
    MemberChange { member: blocked_seats::MEMBER.to_owned(), from, to }
}

/// All of a sale's rules: no `..`, so that a new one is recorded, too.
fn rules(config: &SaleConfig, plan: &Plan) -> Value {
    let SaleConfig {
        sale_starts_at,
        sale_ends_at,
        cancellation_closes_at,
        currency,
        prices,
        blocked,
        max_seats_per_buyer,
        hold,
        no_orphans,
        admission,
    } = config;
    let named = plan.categories().iter().map(|category| category.name.clone());
    let prices: Map<String, Value> = named.zip(prices.iter().map(|price| json!(price.map(|price| price.0)))).collect();
    json!({
        "saleStartsAt": rfc3339(*sale_starts_at), "saleEndsAt": rfc3339(*sale_ends_at),
        "cancellationClosesAt": rfc3339(*cancellation_closes_at), "currency": currency.code(), "prices": prices,
        blocked_seats::MEMBER: blocked_seats::ids(blocked, plan),
        "plan": plan.hash().to_string(), "maxSeatsPerBuyer": max_seats_per_buyer, "holdSeconds": hold.as_secs(),
        "noOrphans": no_orphans, "required": admission.required, "ratePerSecond": admission.rate_per_second,
        "capacity": admission.capacity, "activeLimit": admission.active_limit, "draw": admission.draw,
        "tokenSeconds": admission.token.as_secs(), "absentSeconds": admission.absent.as_secs(),
        "roomOpensAt": admission.room_opens_at.map(rfc3339),
    })
}

fn rescheduled(sale_ends_at: Timestamp, closes_at: Timestamp, cause: &RescheduleCause) -> (&'static str, Value) {
    let (sale_ends_at, closes_at) = (rfc3339(sale_ends_at), rfc3339(closes_at));
    match cause {
        RescheduleCause::TimeZone => ("CANCELLATION_MOVED", json!({ "cancellationClosesAt": closes_at })),
        RescheduleCause::Postponed { starts_at, ends_at, cancellable_until: _ } => {
            let (starts_at, ends_at) = (rfc3339(*starts_at), rfc3339(*ends_at));
            let after = json!({
                "startsAt": starts_at, "endsAt": ends_at, "saleEndsAt": sale_ends_at, "cancellationClosesAt": closes_at,
            });
            ("EVENT_POSTPONED", after)
        }
    }
}

fn steered(steering: &Steering) -> Value {
    json!({
        "ratePerSecond": steering.rate_per_second, "activeLimit": steering.active_limit,
        "required": steering.required, "paused": steering.paused, "closed": steering.closed,
        "message": steering.message,
    })
}

/// `GET /admin/audit`: of an event, a venue or a hall.
pub(super) async fn list(ctx: Context, request: Request) -> Result<Response, Problem> {
    let (query, mut mistakes) = (request.query(), Mistakes::default());
    let venue = query.id(&mut mistakes, "venueId").map(Described::Venue);
    let thing = match venue.or_else(|| query.id(&mut mistakes, "hallId").map(Described::Hall)) {
        Some(thing) => Some(thing),
        None => query.required_id(&mut mistakes, "eventId").map(|id| Described::Event(EventId(id))),
    };
    let page = query.page(&mut mistakes);
    mistakes.check()?;
    let thing = thing.ok_or_else(Problem::not_found)?;
    let kept = ctx.app.catalogue.changes(thing, MOST_READ).await?;
    let mut actions: Vec<ActionJson> = kept.iter().map(ActionJson::kept).collect();
    match thing {
        Described::Event(event) => actions.extend(of_sale(&ctx, event).await?),
        // Also of one that was deleted: that is an action, too.
        Described::Venue(id) if actions.is_empty() => {
            ctx.app.catalogue.venue(id).await?.ok_or_else(Problem::not_found)?;
        }
        Described::Hall(id) if actions.is_empty() => {
            ctx.app.catalogue.hall(id).await?.ok_or_else(Problem::not_found)?;
        }
        Described::Venue(_) | Described::Hall(_) => {}
    }
    actions.sort_by_key(|action| std::cmp::Reverse((action.when, action.seq)));
    let total = actions.len() as u64;
    let skip = page.number as usize * page.size as usize;
    let items = actions.into_iter().skip(skip).take(page.size as usize).collect();
    response::ok(&PageJson::of(items, page, total))
}

/// What administrators did to the sale of an event, from its journal; in no order that the caller may rely on.
async fn of_sale(ctx: &Context, event: EventId) -> Result<Vec<ActionJson>, Problem> {
    ctx.app.engine.find(event).ok_or_else(Problem::not_found)?;
    let engine = ctx.app.engine.clone();
    let read = tokio::task::spawn_blocking(Scope::carry(move || engine.audit(event, 0, u64::from(MOST_READ)))).await;
    let read = read.map_err(|error| Problem::internal().because(error))?;
    let (entries, _) = read.map_err(|error| Problem::storage_unavailable().because(error))?;
    let (mut holds, mut seats) = (json!({}), BlockedSeats::default());
    let oldest_first = entries.iter().rev();
    Ok(oldest_first.filter_map(|entry| ActionJson::of_fact(event, entry, &mut holds, &mut seats)).collect())
}
