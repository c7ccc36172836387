//! Where the stage is: as given, as an area of the drawing shows it, or where the rows face. Owns that guess, which the plan
//! then keeps as a fact: it is never made again for a plan that is stored. Must never depend on the order of a draft's lists.

mod facing;
mod words;

use super::draft::{Area, PlanDraft, Stage, StageSource};
use super::geometry::{Point, mean};
use facing::Facing;

/// A row as far as it matters here: its label, and its seats in their order.
pub(super) struct RowShape<'a> {
    pub(super) label: &'a str,
    pub(super) points: Vec<Point>,
}

/// The stage, and the line from it into the hall that the best seats lie along.
pub(super) struct View {
    pub(super) stage: Stage,
    /// A direction; none where the seats lie all around the stage.
    pub(super) axis: Option<Point>,
}

impl View {
    pub(super) fn point(&self) -> Point {
        Point::of((self.stage.x, self.stage.y))
    }
}

/// The seats nearer to the stage than this part of the hall's extent lie around it.
const AROUND: f64 = 0.1;
/// A nameless area is the stage only if it is this part of the hall's extent wide.
const WIDE_ENOUGH: f64 = 0.15;
/// The cosine of the widest angle between where the hall lies from the stage and the direction opposite to where rows face.
const WIDEST_TURN: f64 = 0.5;

/// Finds the stage of a draft whose rows, by section, are `sections`. `step` is the usual distance between two seats.
pub(super) fn find(draft: &PlanDraft, sections: &[Vec<RowShape<'_>>], step: f64) -> View {
    let facing = Facing::of(sections);
    let Some(stage) = draft.stage.or_else(|| drawn(&draft.areas, sections, &facing)) else {
        return facing.assumed(sections, step);
    };
    let seats = seats(sections);
    let middle = mean(&seats);
    let point = Point::of((stage.x, stage.y));
    let away = middle.minus(point);
    let into = away.direction(extent(&seats) * AROUND);
    let straight = facing.away_from_stage().filter(|axis| into.is_some_and(|into| axis.dot(into) >= WIDEST_TURN));
    View { stage, axis: straight.or(into) }
}

fn seats(sections: &[Vec<RowShape<'_>>]) -> Vec<Point> {
    sections.iter().flatten().flat_map(|row| row.points.iter().copied()).collect()
}

/// The longer side of the box around points.
fn extent(points: &[Point]) -> f64 {
    let span = |of: fn(&Point) -> f64| {
        let low = points.iter().map(of).fold(f64::INFINITY, f64::min);
        points.iter().map(of).fold(f64::NEG_INFINITY, f64::max) - low
    };
    span(|point| point.x).max(span(|point| point.y)).max(0.0)
}

/// The stage among the areas: the one that is called so, or the only one that can be nothing else.
fn drawn(areas: &[Area], sections: &[Vec<RowShape<'_>>], facing: &Facing) -> Option<Stage> {
    let called = areas.iter().filter_map(|area| Some((words::called_stage(&area.text)?, area)));
    let best = called.max_by(|(a_sure, a), (b_sure, b)| a_sure.cmp(b_sure).then_with(|| larger(a, b)));
    if let Some((_, area)) = best {
        // Words alone may lie on the shape that they name.
        let under =
            areas.iter().filter(|shape| area.extent == (0.0, 0.0) && shape.text.is_empty() && covers(shape, area));
        return Some(stage_at(under.min_by(|a, b| larger(a, b)).unwrap_or(area)));
    }
    let seats = seats(sections);
    let width = extent(&seats) * WIDE_ENOUGH;
    let is_stage = |area: &&Area| {
        let (wide, high) = (f64::from(area.extent.0), f64::from(area.extent.1));
        let box_free = || seats.iter().all(|seat| !holds(area, *seat));
        area.text.trim().is_empty()
            && wide.min(high) > 0.0
            && wide.max(high) >= width
            && facing.is_in_front(Point::of(area.centre))
            && box_free()
    };
    let mut only = areas.iter().filter(is_stage);
    only.next().filter(|_| only.next().is_none()).map(stage_at)
}

fn stage_at(area: &Area) -> Stage {
    Stage { x: area.centre.0, y: area.centre.1, source: StageSource::Area }
}

/// The larger area comes last; of equal ones that which lies higher in the drawing, then further left.
fn larger(a: &Area, b: &Area) -> std::cmp::Ordering {
    let size = |area: &Area| f64::from(area.extent.0) * f64::from(area.extent.1);
    let higher = b.centre.1.total_cmp(&a.centre.1).then(b.centre.0.total_cmp(&a.centre.0));
    size(a).total_cmp(&size(b)).then(higher)
}

fn covers(shape: &Area, other: &Area) -> bool {
    shape.extent != (0.0, 0.0) && holds(shape, Point::of(other.centre))
}

/// Whether a place lies in the box of an area.
fn holds(area: &Area, point: Point) -> bool {
    let off = point.minus(Point::of(area.centre));
    off.x.abs() * 2.0 <= f64::from(area.extent.0) && off.y.abs() * 2.0 <= f64::from(area.extent.1)
}
