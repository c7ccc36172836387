//! Taking seats out of a sale and bringing them back, while it sells: `PATCH /admin/events/{id}/seats`. All of a request or none
//! of it. Must never take a seat from a buyer: what is held or sold is refused by the sale.

use crate::catalogue::blocked_seats;
use crate::http::{Context, Mistakes, Object, Problem, Request, Response, response};
use crate::reservations::{CategoryJson, CountsJson, categories_json};
use crate::sales;
use onsale_engine::id::{Epoch, EventId, SeatIndex};
use onsale_engine::limits::{BLOCKED_AT_ONCE, MAX_MESSAGE_BYTES};
use onsale_engine::plan::Plan;
use onsale_engine::runtime::Refusal;
use onsale_engine::sale::{Command, Entry, Rejection, Sale, SeatBlocking};
use onsale_engine::time::Timestamp;
use serde::Serialize;
use std::collections::HashSet;

/// What the body may name.
const MEMBERS: [&str; 3] = ["block", "unblock", "reason"];

/// The seats after the change.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SeatsJson<'a> {
    event_id: String,
    seats: CountsJson,
    categories: Vec<CategoryJson<'a>>,
}

/// What a request asks for, by the seats' ids.
struct Wanted<'a> {
    block: Vec<&'a str>,
    unblock: Vec<&'a str>,
    reason: &'a str,
}

pub(super) async fn change(ctx: Context, mut request: Request) -> Result<Response, Problem> {
    let json = request.json().await?;
    let mut mistakes = Mistakes::default();
    let query = request.query();
    let dry_run = query.boolean(&mut mistakes, "dryRun").unwrap_or(false);
    query.refuse_unknown(&mut mistakes, &["dryRun"]);
    let body = Object::strict_root(&json.value, &mut mistakes);
    let wanted = wanted(&body, &mut mistakes);
    body.refuse_unknown(&json.value, &mut mistakes);
    mistakes.check()?;
    let Some(wanted) = wanted else { return Err(mistakes.refuse()) };

    let event = EventId(request.path_id("id")?);
    let sale = sales::of(&ctx.app, event).await?;
    let terms = sales::terms(&sale).ok_or_else(Problem::not_found)?;
    let change = Box::new(blocking(&wanted, &terms.plan)?);
    let command = Command::BlockSeats { change, by: ctx.buyer()? };
    let after = if dry_run {
        would_be(sale.copy(), &command, ctx.now())
    } else {
        match sale.submit(command, ctx.deadline).await {
            // Looked up again: it may have left memory and come back meanwhile.
            Ok(_) => Ok(sales::of(&ctx.app, event).await?.copy()),
            Err(refusal) => Err(refusal),
        }
    };
    let after = after.map_err(sales::refused_at(&terms.plan))?;
    response::ok(&SeatsJson {
        event_id: event.to_string(),
        seats: after.counts().into(),
        categories: categories_json(&terms.plan, &after.category_counts()),
    })
}

/// What a change would lead to, refused like the change itself: decided and applied on a copy that nobody sees.
fn would_be(mut sale: Sale, command: &Command, now: Timestamp) -> Result<Sale, Refusal> {
    let epoch = Epoch::default();
    let decision = sale.decide(command, now, epoch).map_err(Refusal::Rejected)?;
    for fact in decision.facts {
        let entry = Entry { seq: sale.seq().next(), epoch, at: now, trace: None, fact };
        sale.apply(&entry);
    }
    Ok(sale)
}

fn wanted<'a>(body: &Object<'a>, mistakes: &mut Mistakes) -> Option<Wanted<'a>> {
    for unknown in body.names().filter(|name| !MEMBERS.contains(name)) {
        mistakes.add(body.at(unknown), "no such member");
    }
    let mut list = |member| match body.value(member) {
        None => Some(Vec::new()),
        Some(_) => blocked_seats::list(body, mistakes, member, BLOCKED_AT_ONCE),
    };
    let (block, unblock) = (list("block"), list("unblock"));
    let reason = body.text(mistakes, "reason", 1..=MAX_MESSAGE_BYTES);
    if reason.is_some_and(|text| text.len() > MAX_MESSAGE_BYTES) {
        mistakes.add("reason", format!("at most {MAX_MESSAGE_BYTES} bytes"));
    }
    let (block, unblock) = (block?, unblock?);
    if block.is_empty() && unblock.is_empty() {
        mistakes.add("block", "required: at least one seat to block or to unblock");
    }
    if block.len() + unblock.len() > BLOCKED_AT_ONCE {
        mistakes.add("unblock", format!("at most {BLOCKED_AT_ONCE} seats in both lists together"));
    }
    let blocked: HashSet<&str> = block.iter().copied().collect();
    for (number, _) in unblock.iter().enumerate().filter(|(_, id)| blocked.contains(*id)) {
        mistakes.add(format!("unblock[{number}]"), "the same seat is in block");
    }
    Some(Wanted { block, unblock, reason: reason? })
}

/// The same in the plan's seats; 404 names every seat that the hall does not have.
fn blocking(wanted: &Wanted<'_>, plan: &Plan) -> Result<SeatBlocking, Problem> {
    let seats = |ids: &[&str]| ids.iter().map(|id| plan.seat(id)).collect::<Option<Box<[SeatIndex]>>>();
    match seats(&wanted.block).zip(seats(&wanted.unblock)) {
        Some((block, unblock)) => Ok(SeatBlocking { block, unblock, reason: wanted.reason.into() }),
        None => {
            let all = wanted.block.iter().chain(&wanted.unblock).copied();
            let unknown: Vec<&str> = all.filter(|id| plan.seat(id).is_none()).collect();
            Err(sales::refused(Refusal::Rejected(Rejection::SeatNotFound)).with("unknownSeatIds", unknown))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn mistakes_of(body: &Value) -> Vec<String> {
        let mut mistakes = Mistakes::default();
        wanted(&Object::root(body, &mut mistakes), &mut mistakes);
        mistakes.refuse().mistakes().iter().map(|mistake| mistake.field.clone()).collect()
    }

    #[test]
    fn every_mistake_is_named() {
        let check = |body: Value, expected: &[&str]| assert_eq!(mistakes_of(&body), expected, "{body}");
        check(json!({ "block": ["A-1"], "unblock": ["A-2"], "reason": "a camera" }), &[]);
        check(json!({ "unblock": ["A-2"], "reason": "a camera" }), &[]);
        check(json!({ "block": ["A-1"] }), &["reason"]);
        check(json!({ "reason": "nothing" }), &["block"]);
        check(json!({ "block": [], "unblock": [], "reason": "nothing" }), &["block"]);
        check(json!({ "block": ["A-1", "A-1"], "unblock": "A-2", "reason": " " }), &["block[1]", "unblock", "reason"]);
        check(json!({ "block": ["A-1", "A-2"], "unblock": ["A-3", "A-2"], "reason": "x" }), &["unblock[1]"]);
        check(json!({ "blocked": ["A-1"], "block": ["A-2"], "reason": "x" }), &["blocked"]);
        check(json!({ "block": ["A-2"], "reason": "é".repeat(MAX_MESSAGE_BYTES / 2 + 1) }), &["reason"]);
        let many = |from: usize, count: usize| (from..from + count).map(|n| n.to_string()).collect::<Vec<_>>();
        check(json!({ "block": many(0, BLOCKED_AT_ONCE), "reason": "x" }), &[]);
        check(json!({ "block": many(0, BLOCKED_AT_ONCE + 1), "reason": "x" }), &["block"]);
        let (block, unblock) = (many(0, BLOCKED_AT_ONCE - 1), many(BLOCKED_AT_ONCE, 2));
        check(json!({ "block": block, "unblock": unblock, "reason": "x" }), &["unblock"]);
    }
}
