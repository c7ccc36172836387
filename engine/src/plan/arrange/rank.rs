//! How good runs of seats are: how far from the stage, and which of their seats lies nearest to it. Owns the order of the
//! best seats. Must never read names.

use super::super::geometry::{Point, mean};
use super::super::stage::View;
use super::{Class, Run};
use hashbrown::HashMap;
use std::cmp::Ordering;
use std::ops::Range;

/// How far away a run is, in grains, in the order in which that counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Depth {
    /// Its row's seats of its class: the wings of a row are as good as its middle before the next row is. But never less than
    /// how deep in the hall it lies: the far end of a row along the side is not as good as the near one.
    row: i64,
    /// Its own nearest seat.
    pub(super) nearest: i64,
    /// How far its middle lies from the line that leads from the stage into the hall.
    aside: i64,
}

/// A run among all of the hall, in plan order.
pub(super) struct Ranked {
    pub(super) priority: i32,
    pub(super) depth: Depth,
    pub(super) section: usize,
}

/// All runs, the best one first: by the priority that the plan gives, by how far from the stage their row is, by section, by
/// how central they are; those that are equal in plan order.
pub(super) fn order(runs: &[Ranked]) -> Vec<u32> {
    let mut order: Vec<u32> = (0..runs.len() as u32).collect();
    order.sort_by(|&a, &b| compare(&runs[a as usize], &runs[b as usize]).then(a.cmp(&b)));
    order
}

fn compare(a: &Ranked, b: &Ranked) -> Ordering {
    a.priority
        .cmp(&b.priority)
        .then(a.depth.row.cmp(&b.depth.row))
        .then(a.section.cmp(&b.section))
        .then(a.depth.nearest.cmp(&b.depth.nearest))
        .then(a.depth.aside.cmp(&b.depth.aside))
}

/// Measures the runs that a row is cut into.
pub(super) fn runs<'a>(
    view: &View,
    points: &[Point],
    cuts: Vec<Range<usize>>,
    grain: f64,
    class: impl Fn(usize) -> Class<'a>,
) -> Vec<Run> {
    let stage = view.point();
    let grains = |length: f64| (length / grain).round() as i64;
    let nearest = |run: &Range<usize>| nearest(&points[run.clone()], stage);
    let own: Vec<f64> = cuts.iter().map(nearest).collect();
    let mut of_class: HashMap<Class<'a>, f64> = HashMap::new();
    for (run, distance) in cuts.iter().zip(&own) {
        let least = of_class.entry(class(run.start)).or_insert(*distance);
        *least = least.min(*distance);
    }
    let measured = cuts.iter().enumerate().map(|(at, run)| {
        let seats = &points[run.clone()];
        let depth = match view.axis {
            None => own[at],
            Some(axis) => seats.iter().map(|seat| seat.minus(stage).dot(axis)).fold(f64::INFINITY, f64::min),
        };
        let aside = view.axis.map_or(0.0, |axis| axis.cross(mean(seats).minus(stage)).abs());
        let depth = Depth {
            row: grains(of_class[&class(run.start)].max(depth)),
            nearest: grains(own[at]),
            aside: grains(aside),
        };
        Run { seats: run.clone(), depth, centre: run.start as f64 + centre(view, seats, grain) }
    });
    measured.collect()
}

fn nearest(points: &[Point], stage: Point) -> f64 {
    points.iter().map(|point| point.distance(stage)).fold(f64::INFINITY, f64::min)
}

/// The place among these seats that is nearest to the stage; of those that are as near (an arc around it) the one nearest to the
/// line into the hall. Between two seats if that line passes between them, or both are as good.
fn centre(view: &View, seats: &[Point], grain: f64) -> f64 {
    let stage = view.point();
    let middle = (seats.len() - 1) as f64 / 2.0;
    let least = nearest(seats, stage);
    let near = |at: usize| seats[at].distance(stage) <= least + grain;
    let aside = |at: usize| view.axis.map_or(0.0, |axis| axis.cross(seats[at].minus(stage)));
    // Without a line the middle of them is as good as any.
    let off = |at: usize| if view.axis.is_some() { aside(at).abs() } else { (at as f64 - middle).abs() };
    let best = (0..seats.len()).filter(|&at| near(at)).min_by(|&a, &b| off(a).total_cmp(&off(b)).then(a.cmp(&b)));
    let Some(best) = best else { return middle };
    let other = [best.checked_sub(1), Some(best + 1)].into_iter().flatten().filter(|&at| at < seats.len());
    for other in other {
        let (here, there) = (aside(best), aside(other));
        if here != 0.0 && here * there < 0.0 {
            let part = here.abs() / (here.abs() + there.abs());
            return best as f64 + (other as f64 - best as f64) * part;
        }
        let as_near = (seats[best].distance(stage) - seats[other].distance(stage)).abs() < grain * 1e-3;
        if as_near && (off(best) - off(other)).abs() < grain * 1e-3 {
            return f64::midpoint(best as f64, other as f64);
        }
    }
    best as f64
}
