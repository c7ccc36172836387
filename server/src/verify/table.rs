//! What `onsale verify` prints: a table for people, one JSON object for machines.

use super::{EventReport, Report, UnmatchedOutcome, draw};
use onsale_engine::sale::MoneyMoved;
use serde_json::{Value, json};
use std::io::{self, Write};

const HEADS: [&str; 13] = [
    "event",
    "rows",
    "last seq",
    "chain head",
    "snapshot",
    "tables at",
    "available",
    "held",
    "sold",
    "blocked",
    "reservations",
    "payments",
    "verdict",
];
/// Characters of the chain's head in the table; the JSON has all of them.
const HEAD_CHARS: usize = 16;

pub(super) fn print(report: &Report, draws: bool, out: &mut dyn Write) -> io::Result<()> {
    let rows: Vec<[String; HEADS.len()]> = report.events.iter().map(cells).collect();
    let widths: Vec<usize> = (0..HEADS.len())
        .map(|column| rows.iter().map(|row| row[column].len()).chain([HEADS[column].len()]).max().unwrap_or(0))
        .collect();
    let line = |cells: Vec<&str>| {
        let last = cells.len() - 1;
        let padded = cells.iter().zip(&widths).enumerate().map(|(column, (cell, width))| match column {
            0 => format!("{cell:<width$}"),
            _ if column == last => (*cell).to_owned(),
            _ => format!("{cell:>width$}"),
        });
        padded.collect::<Vec<_>>().join("  ")
    };
    writeln!(out, "{}", report.place)?;
    writeln!(out, "{}", line(HEADS.to_vec()))?;
    for row in &rows {
        writeln!(out, "{}", line(row.iter().map(String::as_str).collect()))?;
    }
    for event in report.events.iter().filter(|_| draws) {
        if let Some(view) = &event.draw {
            writeln!(out, "draw of event {}: {}", event.event, draw::described(view))?;
        }
    }
    for event in &report.events {
        for fault in &event.faults {
            writeln!(out, "event {}: {fault}", event.event)?;
        }
    }
    for event in &report.events {
        for outcome in &event.unmatched {
            writeln!(out, "event {}: unmatched outcome, {outcome}", event.event)?;
        }
    }
    let unmatched = match report.unmatched() {
        0 => String::new(),
        count => format!("; {count} unmatched outcomes of charges or refunds: look into each with the provider"),
    };
    let rows: u64 = report.events.iter().map(|event| event.rows).sum();
    let verdict = if report.is_good() { "everything is as it must be" } else { "NOT as it must be" };
    let (events, seconds) = (report.events.len(), report.took.as_secs_f64());
    writeln!(out, "{events} events, {rows} rows in {seconds:.2} s: {verdict}{unmatched}")
}

fn cells(event: &EventReport) -> [String; HEADS.len()] {
    let seats = &event.seats;
    [
        event.event.to_string(),
        event.rows.to_string(),
        event.last_seq.0.to_string(),
        event.chain_head.chars().take(HEAD_CHARS).collect(),
        event.snapshot.map_or_else(|| "none".to_owned(), |seq| seq.0.to_string()),
        event.checkpoint.0.to_string(),
        seats.available.to_string(),
        seats.held.to_string(),
        seats.sold.to_string(),
        seats.blocked.to_string(),
        event.reservations.to_string(),
        event.payments.to_string(),
        verdict(event).to_owned(),
    ]
}

fn verdict(event: &EventReport) -> &'static str {
    if event.faults.is_empty() { "good" } else { "BAD" }
}

fn outcome(outcome: &UnmatchedOutcome) -> Value {
    let (moved, amount) = match outcome.moved {
        MoneyMoved::Captured { amount } => ("CAPTURED", Some(amount.0)),
        MoneyMoved::Refunded => ("REFUNDED", None),
    };
    json!({
        "seq": outcome.seq.0,
        "at": crate::time::rfc3339(outcome.at),
        "paymentId": outcome.payment.to_string(),
        "moved": moved,
        "amount": amount,
    })
}

pub(super) fn json(report: &Report) -> Value {
    let event = |event: &EventReport| {
        let seats = &event.seats;
        json!({
            "eventId": event.event.to_string(),
            "rows": event.rows,
            "lastSeq": event.last_seq.0,
            "chainHead": event.chain_head,
            "snapshotSeq": event.snapshot.map(|seq| seq.0),
            "checkpointSeq": event.checkpoint.0,
            "seats": {
                "total": seats.total, "available": seats.available, "held": seats.held, "sold": seats.sold,
                "blocked": seats.blocked,
            },
            "reservations": event.reservations,
            "payments": event.payments,
            "draw": event.draw.map(|view| draw::json(event.event, view)),
            "unmatched": event.unmatched.iter().map(outcome).collect::<Vec<_>>(),
            "good": event.faults.is_empty(),
            "faults": event.faults.iter().map(ToString::to_string).collect::<Vec<_>>(),
        })
    };
    json!({
        "path": report.place,
        "good": report.is_good(),
        "unmatchedOutcomes": report.unmatched(),
        "events": report.events.iter().map(event).collect::<Vec<_>>(),
    })
}
