//! The layout of plans that are older than the second version of their stored form: seats in the order in which their author
//! listed them, the first row of each section the nearest. Sales of such plans refer to seats by their index, so this must
//! never change; no new plan is laid out by it.

use super::draft::{PlanDraft, SeatDraft};
use super::{Layout, SegmentLayout};
use std::ops::Range;

/// A gap wider than this many times the row's usual distance is an aisle.
const AISLE: f32 = 1.6;

/// Orders segments: row within its section, then distance from the centre line; then plan order.
type SegmentKey = (u32, f32);

#[derive(Default)]
struct Builder {
    middle: f32,
    index: u32,
    segments: Vec<SegmentLayout>,
    keys: Vec<SegmentKey>,
}

/// The layout of a draft as it is listed.
pub(super) fn as_listed(draft: &PlanDraft) -> Layout {
    let seats = || draft.sections.iter().flat_map(|section| &section.rows).flat_map(|row| &row.seats);
    let low = seats().map(|seat| seat.x).fold(f32::INFINITY, f32::min);
    let high = seats().map(|seat| seat.x).fold(f32::NEG_INFINITY, f32::max);
    let mut builder = Builder { middle: f32::midpoint(low, high), ..Builder::default() };
    for section in &draft.sections {
        for (depth, row) in section.rows.iter().enumerate() {
            builder.row(depth as u32, &row.seats);
        }
    }
    let keys = builder.keys;
    let mut ranking: Vec<u32> = (0..keys.len() as u32).collect();
    ranking.sort_by(|&a, &b| {
        let ((row_a, off_a), (row_b, off_b)) = (keys[a as usize], keys[b as usize]);
        row_a.cmp(&row_b).then(off_a.total_cmp(&off_b)).then(a.cmp(&b))
    });
    Layout { stage: None, segments: builder.segments, ranking }
}

impl Builder {
    fn row(&mut self, depth: u32, seats: &[SeatDraft]) {
        let aisle = aisle_width(seats);
        let mut start = 0;
        for at in 1..=seats.len() {
            let joined = at < seats.len()
                && distance(&seats[at - 1], &seats[at]) <= aisle
                && seats[at - 1].category == seats[at].category;
            if !joined {
                self.segment(depth, &seats[start..at]);
                start = at;
            }
        }
    }

    fn segment(&mut self, depth: u32, seats: &[SeatDraft]) {
        let range = self.index..self.index + seats.len() as u32;
        self.index = range.end;
        let mean = seats.iter().map(|seat| seat.x).sum::<f32>() / seats.len() as f32;
        self.keys.push((depth, (mean - self.middle).abs()));
        let centre = self.centre(seats, &range, mean);
        self.segments.push(SegmentLayout { seats: seats.len() as u32, centre });
    }

    /// The seat index, possibly half a seat off, nearest to the centre line.
    fn centre(&self, seats: &[SeatDraft], range: &Range<u32>, mean: f32) -> f32 {
        let middle = self.middle;
        let nearest = seats
            .iter()
            .enumerate()
            .min_by(|(_, a), (_, b)| (a.x - middle).abs().total_cmp(&(b.x - middle).abs()))
            .map_or(0, |(at, _)| at);
        let apart = (seats[nearest].x - mean).abs() > f32::EPSILON;
        let straddles = seats.iter().any(|seat| seat.x <= middle) && seats.iter().any(|seat| seat.x >= middle);
        if straddles && !apart || seats.iter().all(|seat| (seat.x - seats[0].x).abs() < f32::EPSILON) {
            (range.start + range.end - 1) as f32 / 2.0
        } else if straddles {
            let left = seats.iter().filter(|seat| seat.x < middle).count() as f32;
            range.start as f32 + (left - 0.5).max(0.0)
        } else {
            (range.start as usize + nearest) as f32
        }
    }
}

fn distance(a: &SeatDraft, b: &SeatDraft) -> f32 {
    (a.x - b.x).hypot(a.y - b.y)
}

/// The distance beyond which two neighbours in this row have an aisle between them.
fn aisle_width(seats: &[SeatDraft]) -> f32 {
    let mut gaps: Vec<f32> = seats.windows(2).map(|pair| distance(&pair[0], &pair[1])).collect();
    if gaps.is_empty() {
        return f32::INFINITY;
    }
    gaps.sort_by(f32::total_cmp);
    // Of two gaps the smaller one is the usual one.
    let usual = gaps[(gaps.len() - 1) / 2];
    if usual == 0.0 { f32::INFINITY } else { usual * AISLE }
}
