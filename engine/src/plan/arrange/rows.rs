//! The rows of a draft as they stand in the hall: seats in order along their row, and the parts of one row that are listed
//! apart put together. Must never decide which seats are the best.

use super::super::draft::{PlanDraft, PlanPath, RowDraft, SeatDraft};
use super::super::geometry::{Point, Scatter, along, mean};
use super::super::natural::natural;

/// A part is joined with one of at most so many others.
const PARTS_COMPARED: usize = 16;

/// A seat and where it stands in the draft.
#[derive(Clone, Copy)]
pub(super) struct Placed<'a> {
    pub(super) draft: &'a SeatDraft,
    pub(super) at: PlanPath,
}

impl Placed<'_> {
    pub(super) fn point(&self) -> Point {
        Point::of((self.draft.x, self.draft.y))
    }
}

/// A row, or what there is of it in one list.
pub(super) struct Part<'a> {
    pub(super) row: &'a RowDraft,
    /// In order along the row.
    pub(super) seats: Vec<Placed<'a>>,
}

impl<'a> Part<'a> {
    fn new(row: &'a RowDraft, mut seats: Vec<Placed<'a>>) -> Self {
        // Sums of numbers depend on their order, so seats are first brought into one that is the same for every list.
        seats.sort_by(|a, b| {
            let (left, right) = (a.draft, b.draft);
            left.x
                .total_cmp(&right.x)
                .then(left.y.total_cmp(&right.y))
                .then_with(|| natural(&left.label, &right.label))
                .then_with(|| left.id.cmp(&right.id))
        });
        let points: Vec<Point> = seats.iter().map(Placed::point).collect();
        let seats = along(&points).into_iter().map(|at| seats[at]).collect();
        Self { row, seats }
    }

    pub(super) fn label(&self) -> &'a str {
        &self.row.label
    }

    /// Whether both carry the same names.
    fn is_called_as(&self, other: &Self) -> bool {
        let (a, b) = (self.row, other.row);
        !a.label.is_empty()
            && a.label == b.label
            && a.name == b.name
            && a.seat_name == b.seat_name
            && a.priority == b.priority
    }
}

/// The sections of a draft that have seats, by number, each with its rows. Their order depends on names and ids alone.
pub(super) fn sections(draft: &PlanDraft) -> Vec<(usize, Vec<Part<'_>>)> {
    let mut sections: Vec<(usize, Vec<Part<'_>>)> = Vec::with_capacity(draft.sections.len());
    for (number, section) in draft.sections.iter().enumerate() {
        let placed = |row: usize, at: usize| Some((number, Some((row, Some(at)))));
        let parts =
            section.rows.iter().enumerate().filter(|(_, row)| !row.seats.is_empty()).map(|(row_number, row)| {
                let seats =
                    row.seats.iter().enumerate().map(|(at, draft)| Placed { draft, at: placed(row_number, at) });
                Part::new(row, seats.collect())
            });
        let mut parts: Vec<Part<'_>> = parts.collect();
        parts.sort_by(|a, b| natural(a.label(), b.label()).then_with(|| place(a).total_cmp_with(&place(b))));
        let joined = joined(parts);
        if !joined.is_empty() {
            sections.push((number, joined));
        }
    }
    sections.sort_by_cached_key(|(_, parts)| first_id(parts));
    sections
}

fn first_id<'a>(parts: &[Part<'a>]) -> Option<&'a str> {
    parts.iter().flat_map(|part| &part.seats).map(|seat| seat.draft.id.as_str()).min()
}

/// Orders parts of one label: by where their first seat lies, then by its id.
struct Place<'a>(Point, &'a str);

impl Place<'_> {
    fn total_cmp_with(&self, other: &Self) -> std::cmp::Ordering {
        self.0.x.total_cmp(&other.0.x).then(self.0.y.total_cmp(&other.0.y)).then_with(|| self.1.cmp(other.1))
    }
}

fn place<'a>(part: &Part<'a>) -> Place<'a> {
    part.seats.first().map_or(Place(Point::default(), ""), |seat| Place(seat.point(), &seat.draft.id))
}

/// Puts parts of one row together: those that carry the same names and lie one beside the other in one line.
fn joined(parts: Vec<Part<'_>>) -> Vec<Part<'_>> {
    let mut rows: Vec<Part<'_>> = Vec::with_capacity(parts.len());
    let mut first_of_label = 0;
    for part in parts {
        if rows.get(first_of_label).is_some_and(|row| row.label() != part.label()) {
            first_of_label = rows.len();
        }
        let from = first_of_label.max(rows.len().saturating_sub(PARTS_COMPARED));
        let same = rows[from..].iter_mut().find(|row| row.is_called_as(&part) && is_one_line(row, &part));
        match same {
            Some(row) => {
                let seats = row.seats.iter().chain(&part.seats).copied().collect();
                *row = Part::new(row.row, seats);
            }
            None => rows.push(part),
        }
    }
    rows
}

/// Whether two parts lie beside each other along one line, and not one behind the other.
fn is_one_line(a: &Part<'_>, b: &Part<'_>) -> bool {
    let points = |part: &Part<'_>| part.seats.iter().map(Placed::point).collect::<Vec<_>>();
    let (left, right) = (points(a), points(b));
    let all: Vec<Point> = left.iter().chain(&right).copied().collect();
    let (axis, middle) = (Scatter::of(&all).axis(), mean(&all));
    let span = |points: &[Point], direction: Point| {
        let places = points.iter().map(|point| point.minus(middle).dot(direction));
        places.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), place| (low.min(place), high.max(place)))
    };
    let (one, other) = (span(&left, axis), span(&right, axis));
    if one.0 <= other.1 && other.0 <= one.1 {
        return false;
    }
    let step = usual_step(&left).or_else(|| usual_step(&right)).map_or(0.0, |(usual, _)| usual);
    let across = axis.turned();
    let lies_along = |points: &[Point]| {
        let (along, deep) = (span(points, axis), span(points, across));
        points.len() < 2 || along.1 - along.0 >= deep.1 - deep.0
    };
    let (one, other) = (span(&left, across), span(&right, across));
    let apart = (one.0 - other.1).max(other.0 - one.1);
    lies_along(&left) && lies_along(&right) && apart <= step
}

/// The usual distance between neighbours of a row whose seats are in order, and how many gaps say so. Seats at one place say
/// nothing.
pub(super) fn usual_step(points: &[Point]) -> Option<(f64, usize)> {
    let gaps = points.windows(2).map(|pair| pair[0].distance(pair[1]));
    let mut gaps: Vec<f64> = gaps.filter(|gap| *gap > 1e-6).collect();
    gaps.sort_by(f64::total_cmp);
    // Of two gaps the smaller one is the usual one.
    let usual = *gaps.get(gaps.len().saturating_sub(1) / 2)?;
    Some((usual, gaps.len()))
}
