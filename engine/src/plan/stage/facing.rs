//! Where the rows of a hall face: each section's by its labels in their natural order (row 1 is in front of row 2), else by
//! the centre that its rows bend around; then the hall's. Must never depend on the order of a list.

use super::super::draft::{Stage, StageSource};
use super::super::geometry::{Point, Scatter, mean, rightwards};
use super::super::natural::natural;
use super::{RowShape, View, extent, seats};

/// Rows this much longer than deep (ratio of squares) face across their own axis.
const LONG_ROWS: f64 = 4.0;
/// Labels say which row is in front if they and the depth of their rows correlate so well.
const CORRELATED: f64 = 0.8;
/// The part of the labels' direction that lies across the rows at the least.
const ACROSS: f64 = 0.35;
/// The least bend of rows that counts, in parts of their length: an arc of 14 degrees.
const LEAST_BEND: f64 = 0.02;
/// Below this (the square of the sine of the mean angle between them) sections count as parallel: 8 degrees.
const PARALLEL: f64 = 0.02;
/// Below this (the length of the mean of their directions) sections face each other.
const OPPOSED: f64 = 0.3;
/// The part of the seats that an assumed stage is in front of, at the least.
const IN_FRONT: f64 = 0.9;
/// As far in front of the first row, in parts of the hall's width, lies a stage that is assumed: depth shall count for more
/// than the side.
const AHEAD: f64 = 0.5;
/// And at least so many steps from seat to seat.
const STEPS_AHEAD: f64 = 2.0;

/// Where the seats of a section face.
struct Vote {
    towards: Point,
    centre: Point,
    /// How far in this direction its foremost seat is.
    front: f64,
    /// How many seats it has.
    weight: f64,
}

/// Where a hall's sections face.
pub(super) struct Facing {
    votes: Vec<Vote>,
}

impl Facing {
    pub(super) fn of(sections: &[Vec<RowShape<'_>>]) -> Self {
        let by_section: Vec<Vote> = sections.iter().filter_map(|rows| vote(&rows.iter().collect::<Vec<_>>())).collect();
        let all: Vec<&RowShape<'_>> = sections.iter().flatten().collect();
        let votes = if by_section.is_empty() { vote(&all).into_iter().collect() } else { by_section };
        Self { votes }
    }

    fn weight(&self) -> f64 {
        self.votes.iter().map(|vote| vote.weight).sum()
    }

    /// The mean of where the sections face; the longer it is, the more they agree.
    fn mean(&self) -> Point {
        let sum = self.votes.iter().fold(Point::default(), |sum, vote| sum.plus(vote.towards.times(vote.weight)));
        sum.times(1.0 / self.weight().max(1.0))
    }

    /// The direction opposite to where the hall faces, if it faces one way.
    pub(super) fn away_from_stage(&self) -> Option<Point> {
        self.mean().direction(OPPOSED).map(|towards| towards.times(-1.0))
    }

    /// Whether nearly all seats have this point in front of them.
    pub(super) fn is_in_front(&self, point: Point) -> bool {
        let before = self.votes.iter().filter(|vote| point.dot(vote.towards) >= vote.front);
        let weight: f64 = before.map(|vote| vote.weight).sum();
        !self.votes.is_empty() && weight >= self.weight() * IN_FRONT
    }

    /// The stage that the rows face, where nothing else is known of one.
    pub(super) fn assumed(&self, sections: &[Vec<RowShape<'_>>], step: f64) -> View {
        let seats = seats(sections);
        let view = |point: Point, axis: Option<Point>| View {
            stage: Stage { x: point.x as f32, y: point.y as f32, source: StageSource::Facing },
            axis,
        };
        if let Some(point) = self.meeting().filter(|point| self.is_in_front(*point)) {
            return view(point, self.away_from_stage());
        }
        let towards = match self.mean().direction(OPPOSED).or_else(|| self.heaviest()) {
            Some(towards) if self.is_between(towards) => return view(self.between(towards), None),
            Some(towards) => towards,
            None => upwards(sections),
        };
        view(before(&seats, towards, step), Some(towards.times(-1.0)))
    }

    /// Where the section with the most seats faces.
    fn heaviest(&self) -> Option<Point> {
        self.votes.iter().max_by(|a, b| a.weight.total_cmp(&b.weight)).map(|vote| vote.towards)
    }

    /// The point nearest to the lines along which the sections face, unless those are parallel.
    fn meeting(&self) -> Option<Point> {
        let total = self.weight();
        // The sum of the projections across each line, and of what they make of the lines' own points.
        let (mut xx, mut xy, mut yy, mut right) = (0.0, 0.0, 0.0, Point::default());
        for vote in &self.votes {
            let (across, weight) = (vote.towards.turned(), vote.weight / total);
            xx += weight * across.x * across.x;
            xy += weight * across.x * across.y;
            yy += weight * across.y * across.y;
            right = right.plus(across.times(weight * across.dot(vote.centre)));
        }
        let determinant = xx * yy - xy * xy;
        // Of the two eigenvalues, whose sum is 1, this is nearly the smaller one.
        (determinant > PARALLEL).then(|| Point {
            x: (right.x * yy - right.y * xy) / determinant,
            y: (right.y * xx - right.x * xy) / determinant,
        })
    }

    /// Whether some sections face the others, which face `towards`.
    fn is_between(&self, towards: Point) -> bool {
        self.votes.iter().any(|vote| vote.towards.dot(towards) < -0.5)
    }

    /// The middle between the fronts of sections that face each other.
    fn between(&self, towards: Point) -> Point {
        let (mut ahead, mut opposite) = (f64::NEG_INFINITY, f64::INFINITY);
        for vote in &self.votes {
            let along = vote.towards.dot(towards);
            if along > 0.5 {
                ahead = ahead.max(vote.front / along);
            } else if along < -0.5 {
                opposite = opposite.min(vote.front / along);
            }
        }
        let side = towards.turned();
        let sum: f64 = self.votes.iter().map(|vote| vote.weight * vote.centre.dot(side)).sum();
        towards.times(f64::midpoint(ahead, opposite)).plus(side.times(sum / self.weight()))
    }
}

/// Where rows face by default: upwards, or to the left where they are upright.
fn upwards(sections: &[Vec<RowShape<'_>>]) -> Point {
    let rows: Vec<&RowShape<'_>> = sections.iter().flatten().collect();
    let across = pooled(&rows).axis().turned();
    // The axis points right or down, so its quarter turn points down or left.
    if across.y.abs() >= across.x.abs() && across.y > 0.0 { across.times(-1.0) } else { across }
}

/// A point in front of all seats, in the middle of the hall's width.
fn before(seats: &[Point], towards: Point, step: f64) -> Point {
    let side = towards.turned();
    let low = seats.iter().map(|seat| seat.dot(side)).fold(f64::INFINITY, f64::min);
    let high = seats.iter().map(|seat| seat.dot(side)).fold(f64::NEG_INFINITY, f64::max);
    let front = seats.iter().map(|seat| seat.dot(towards)).fold(f64::NEG_INFINITY, f64::max);
    let ahead = ((high - low) * AHEAD).max(step * STEPS_AHEAD);
    towards.times(front + ahead).plus(side.times(f64::midpoint(low, high)))
}

/// How the seats of rows are scattered within their rows.
fn pooled(rows: &[&RowShape<'_>]) -> Scatter {
    rows.iter().fold(Scatter::default(), |sum, row| sum.plus(Scatter::of(&row.points)))
}

fn vote(rows: &[&RowShape<'_>]) -> Option<Vote> {
    let towards = by_labels(rows).or_else(|| by_bend(rows))?;
    let points: Vec<Point> = rows.iter().flat_map(|row| row.points.iter().copied()).collect();
    let front = points.iter().map(|point| point.dot(towards)).fold(f64::NEG_INFINITY, f64::max);
    Some(Vote { towards, centre: mean(&points), front, weight: points.len() as f64 })
}

/// Row 1 stands in front of row 2.
fn by_labels(rows: &[&RowShape<'_>]) -> Option<Point> {
    let rows: Vec<&&RowShape<'_>> = rows.iter().filter(|row| !row.label.is_empty()).collect();
    let mut labels: Vec<&str> = rows.iter().map(|row| row.label).collect();
    labels.sort_by(|a, b| natural(a, b));
    labels.dedup();
    let rank = |row: &RowShape<'_>| match labels.binary_search_by(|label| natural(label, row.label)) {
        Ok(rank) | Err(rank) => rank as f64,
    };
    let ranks: Vec<f64> = rows.iter().map(|row| rank(row)).collect();
    let centres: Vec<Point> = rows.iter().map(|row| mean(&row.points)).collect();
    let (middle_rank, middle) = (ranks.iter().sum::<f64>() / ranks.len().max(1) as f64, mean(&centres));
    let off = || ranks.iter().map(|rank| rank - middle_rank).zip(centres.iter().map(|centre| centre.minus(middle)));
    let backwards = off().fold(Point::default(), |sum, (rank, centre)| sum.plus(centre.times(rank)));

    let rows: Vec<&RowShape<'_>> = rows.into_iter().copied().collect();
    let scatter = pooled(&rows);
    let back = if scatter.elongation() >= LONG_ROWS {
        let across = scatter.axis().turned();
        let depth = backwards.dot(across);
        if depth.abs() < backwards.length() * ACROSS {
            return None;
        }
        across.times(depth.signum())
    } else {
        backwards.direction(0.0)?
    };
    let (mut both, mut of_rank, mut of_depth) = (0.0, 0.0, 0.0);
    for (rank, centre) in off() {
        let depth = centre.dot(back);
        both += rank * depth;
        of_rank += rank * rank;
        of_depth += depth * depth;
    }
    (both > 0.0 && both >= CORRELATED * (of_rank * of_depth).sqrt()).then(|| back.times(-1.0))
}

/// Rows bend around the stage.
fn by_bend(rows: &[&RowShape<'_>]) -> Option<Point> {
    let (mut sum, mut bends, mut lengths) = (Point::default(), 0.0, 0.0);
    for row in rows.iter().filter(|row| row.points.len() >= 3) {
        let (Some(first), Some(last)) = (row.points.first(), row.points.last()) else { continue };
        let bend = first.plus(*last).times(0.5).minus(mean(&row.points));
        sum = sum.plus(bend);
        bends += bend.length();
        lengths += first.distance(*last).max(extent(&row.points));
    }
    let agree = sum.length() >= bends * CORRELATED && sum.length() >= lengths * LEAST_BEND;
    let towards = sum.direction(0.0).filter(|_| agree)?;
    let scatter = pooled(rows);
    if scatter.elongation() < LONG_ROWS {
        return Some(towards);
    }
    let across = rightwards(scatter.axis()).turned();
    let depth = across.dot(towards);
    (depth != 0.0).then(|| across.times(depth.signum()))
}
