//! What must be true of everything together after a restart: no seat in two hands, counts that add up, a line in its
//! old order, and an operator's last change. What the server answers about them, for comparisons.

use super::CrashError;
use super::check::Findings;
use super::database::Counts;
use super::load::{POLL, taken_seats};
use super::model::{Buyer, Place};
use super::stage::Stage;
use onsale_server::client::{Answered, Call};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

/// The notes that the operator has written to those who wait: the last that was acknowledged, and the one without an
/// answer.
#[derive(Clone, Debug, Default)]
pub(super) struct Notes {
    pub acknowledged: Option<String>,
    pub unknown: Option<String>,
    pub written: u64,
}

impl Stage {
    async fn ask(&self, call: &Call) -> Result<Answered, CrashError> {
        let answer = self.client.send(call).await?;
        if answer.is_success() {
            return Ok(answer);
        }
        Err(CrashError::Stage(format!("{}: {}", answer.status, String::from_utf8_lossy(&answer.body))))
    }

    /// Steers the slow line; `dry` only answers what would hold.
    async fn steer(&self, change: &Value, dry: bool) -> Result<Value, CrashError> {
        let path = format!("/api/v1/admin/events/{}/admission?dryRun={dry}", self.slow);
        Ok(self.ask(&Call::patch(path, change).bearer(&self.admin)).await?.json())
    }
}

/// An operator writes notes to those who wait, until the server dies.
pub(super) async fn write_notes(stage: &Stage, mut notes: Notes) -> Notes {
    loop {
        let note = format!("note {}", notes.written + 1);
        notes.written += 1;
        notes.unknown = Some(note.clone());
        match stage.steer(&json!({ "message": note }), false).await {
            Ok(_) => {
                notes.acknowledged = notes.unknown.take();
            }
            Err(CrashError::Stage(_)) => notes.unknown = None,
            Err(_) => return notes,
        }
        tokio::time::sleep(POLL * 3).await;
    }
}

/// The operator's last word stands.
pub(super) async fn check_notes(stage: &Stage, notes: &mut Notes, found: &mut Findings) -> Result<(), CrashError> {
    let answer = stage.steer(&json!({}), true).await?;
    let says = answer.get("message").and_then(Value::as_str).map(str::to_owned);
    if says != notes.acknowledged && says != notes.unknown {
        found.lost.push(format!("the operator's note was {:?}, is {says:?}", notes.acknowledged));
    }
    (notes.acknowledged, notes.unknown) = (says, None);
    Ok(())
}

/// Seats by everybody's answers against seats as the server has them now.
pub(super) async fn check_seats(stage: &Stage, buyers: &[Buyer], found: &mut Findings) -> Result<(), CrashError> {
    let mut owners: BTreeMap<&str, (&str, &str)> = BTreeMap::new();
    for (id, booking) in buyers.iter().flat_map(|buyer| &buyer.bookings) {
        if matches!(booking.status(), "PENDING" | "CONFIRMED") {
            for seat in &booking.seats {
                if let Some((other, _)) = owners.insert(seat, (id, booking.status())) {
                    found.oversold.push(format!("seat {seat} is in {other} and in {id}"));
                }
            }
        }
    }
    let live = read_seats(stage).await?;
    let (held, sold) = taken_seats(&live);
    for (answered, status) in [(held, "PENDING"), (sold, "CONFIRMED")] {
        let answered: BTreeSet<&str> = answered.iter().map(String::as_str).collect();
        let ours: BTreeSet<&str> =
            owners.iter().filter(|(_, (_, owner))| *owner == status).map(|(seat, _)| *seat).collect();
        found.lost.extend(ours.difference(&answered).map(|seat| format!("seat {seat} was {status} and is free")));
        found
            .oversold
            .extend(answered.difference(&ours).map(|seat| format!("seat {seat} is {status} in nobody's hands")));
    }
    let count = |name: &str| live.pointer(&format!("/seats/{name}")).and_then(Value::as_u64).unwrap_or_default();
    let (total, sum) = (count("total"), count("available") + count("held") + count("sold") + count("blocked"));
    if total != sum || total != stage.seats.len() as u64 {
        found.oversold.push(format!("{total} seats, {sum} counted, {} in the plan", stage.seats.len()));
    }
    let metrics = stage.ask(&Call::get("/metrics")).await?;
    let metrics = String::from_utf8_lossy(&metrics.body).into_owned();
    let violations = metrics.lines().filter(|line| line.starts_with("onsale_invariant_violations"));
    found.oversold.extend(violations.filter(|line| !line.ends_with(" 0")).map(str::to_owned));
    Ok(())
}

/// Somebody who was let in long ago reads the seats, with the same token after every crash.
async fn read_seats(stage: &Stage) -> Result<Value, CrashError> {
    let (bearer, token) = &stage.observer;
    let seats = Call::get(format!("/api/v1/reservations/seats/{}", stage.quick)).bearer(bearer);
    Ok(stage.ask(&seats.queue_token(Some(token))).await?.json())
}

/// What the server answers about an event.
pub(super) async fn counts_of(stage: &Stage, event: &str) -> Result<Counts, CrashError> {
    let seats = stage.ask(&Call::get(format!("/api/v1/events/{event}"))).await?.json();
    let stats = stage.ask(&Call::get("/api/v1/queue/admin/stats").bearer(&stage.admin)).await?.json();
    let number = |json: &Value, path: String| json.pointer(&path).and_then(Value::as_u64).unwrap_or_default();
    let [held, sold] = ["held", "sold"].map(|status| number(&seats, format!("/seats/{status}")));
    Ok(Counts { held, sold, waiting: number(&stats, format!("/{event}/waiting")) })
}

/// One who stands in the slow line, as seen now.
struct Standing {
    /// 0 for those who are let in.
    rank: u64,
    asked: Instant,
    answered: Instant,
}

/// The slow line, with admission paused: ranks without gaps, and nobody has passed one who had been answered a place
/// before the other asked.
pub(super) async fn check_line(stage: &Stage, buyers: &mut [Buyer], found: &mut Findings) -> Result<(), CrashError> {
    stage.steer(&json!({ "paused": true }), false).await?;
    let (mut line, mut total) = (Vec::new(), 0);
    for buyer in buyers.iter_mut().filter(|buyer| buyer.event == stage.slow && buyer.place != Place::Gone) {
        let status = Call::get(format!("/api/v1/queue/status?eventId={}", stage.slow)).bearer(&buyer.bearer);
        let answer = stage.client.send(&status).await?;
        if answer.status != 200 {
            continue;
        }
        let place = answer.json();
        total = place.get("totalInQueue").and_then(Value::as_u64).unwrap_or_default();
        let rank = place.get("rank").and_then(Value::as_u64).unwrap_or_default();
        // Those whose entering had no answer have a place all the same, but no moment to be compared by.
        line.push((
            rank,
            buyer.entered.map(|entered| Standing { rank, asked: entered.asked, answered: entered.answered }),
        ));
    }
    line.sort_by_key(|(rank, _)| *rank);
    let ranks: Vec<u64> = line.iter().map(|(rank, _)| *rank).filter(|rank| *rank > 0).collect();
    if ranks != (1..=total).collect::<Vec<_>>() {
        found.lost.push(format!("{total} in line, but {} ranks up to {:?}", ranks.len(), ranks.last()));
    }
    let standing: Vec<Standing> = line.into_iter().filter_map(|(_, standing)| standing).collect();
    if let Some(passed) = first_passed(&standing) {
        found.lost.push(format!("somebody has passed who is at rank {passed}"));
    }
    stage.steer(&json!({ "paused": false }), false).await?;
    Ok(())
}

/// The rank of the first who stands behind somebody that asked only after this one had been answered a place.
fn first_passed(line: &[Standing]) -> Option<u64> {
    let mut latest_asked: Option<Instant> = None;
    let mut ahead = line.iter().peekable();
    for one in line {
        // Those let in have no order among themselves: only lower ranks stand ahead.
        while let Some(other) = ahead.next_if(|other| other.rank < one.rank) {
            latest_asked = latest_asked.max(Some(other.asked));
        }
        if latest_asked.is_some_and(|asked| asked > one.answered) {
            return Some(one.rank);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn standing(base: Instant, ranks: &[(u64, u64, u64)]) -> Vec<Standing> {
        let at = |millis| base + Duration::from_millis(millis);
        ranks
            .iter()
            .map(|&(rank, asked, answered)| Standing { rank, asked: at(asked), answered: at(answered) })
            .collect()
    }

    #[test]
    fn a_line_is_in_order_unless_somebody_passed_who_asked_later() {
        let base = Instant::now();
        let check = |ranks: &[(u64, u64, u64)], expected| assert_eq!(first_passed(&standing(base, ranks)), expected);
        check(&[(1, 0, 10), (2, 20, 30), (3, 40, 50)], None);
        // Overlapping requests may come in either order.
        check(&[(1, 5, 15), (2, 0, 10)], None);
        // The second asked at 20, when the one behind had long been answered.
        check(&[(1, 20, 30), (2, 0, 10)], Some(2));
        // Among those let in there is no order, but they are all ahead of the line.
        check(&[(0, 20, 30), (0, 0, 10), (1, 40, 50)], None);
        check(&[(0, 20, 30), (1, 0, 10)], Some(1));
    }
}
