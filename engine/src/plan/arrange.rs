//! Lays a draft out as sales need it: seats along their rows, rows and sections as the stage sees them, rows cut into
//! segments, and the segments ranked, the best one first. All of it follows from where things lie, then from labels, then from
//! ids; the order of a draft's lists changes nothing. Must never read a category's price.

mod rank;
mod rows;

use super::check::{self, Mistakes};
use super::draft::{Category, MistakePlace, PlanDraft, PlanMistake, RowDraft, SeatDraft, SeatKind, SectionDraft};
use super::geometry::Point;
use super::natural::natural;
use super::stage::{self, RowShape};
use super::{Layout, SegmentLayout};
use hashbrown::HashMap;
use rank::{Depth, Ranked};
use rows::{Part, Placed};

/// For categories without a colour, in their order.
const COLORS: [&str; 8] = ["#8a2be2", "#c0392b", "#d9822b", "#337ab7", "#5cb85c", "#16a085", "#7f8c8d", "#b5651d"];
/// A gap wider than this many times the usual distance is an aisle.
const AISLE: f64 = 1.6;
/// Distances from the stage are compared in this part of the usual step: what a drawing is rounded by is no difference.
const GRAIN: f64 = 0.125;
/// A row needs so many gaps to say by itself which is the usual one.
const ENOUGH_GAPS: usize = 3;
/// Seats of a row with fewer may lie this much wider apart than those of the hall, and still be side by side.
const WIDER: f64 = 1.5;

/// Seats side by side, before they have an index.
struct Run {
    /// Their places in their row.
    seats: std::ops::Range<usize>,
    depth: Depth,
    /// The place in the row that they grow around, possibly between two seats.
    centre: f64,
}

/// A row whose seats are in order, and cut into runs.
struct Line<'a> {
    part: Part<'a>,
    runs: Vec<Run>,
    /// The number of its section in the draft.
    section: usize,
}

/// Checks a draft and lays it out: the draft in its own order, and the layout of that.
pub(super) fn arrange(draft: &PlanDraft) -> Result<(PlanDraft, Layout), Vec<PlanMistake>> {
    check::check(draft)?;
    let sections = rows::sections(draft);
    let step = hall_step(sections.iter().flat_map(|(_, parts)| parts));
    let shapes: Vec<Vec<RowShape<'_>>> = sections.iter().map(|(_, parts)| parts.iter().map(shape).collect()).collect();
    let view = stage::find(draft, &shapes, step);
    let grain = step * GRAIN;

    let mut mistakes = Mistakes::default();
    let mut zones: Vec<Zone<'_>> = Vec::with_capacity(sections.len());
    for (section, parts) in sections {
        let lines: Vec<Line<'_>> = parts
            .into_iter()
            .map(|part| {
                let cuts = cut(&part.seats, step, &mut mistakes);
                let points: Vec<Point> = part.seats.iter().map(Placed::point).collect();
                let runs = rank::runs(&view, &points, cuts, grain, |at| class(&part.seats, at));
                Line { part, runs, section }
            })
            .collect();
        zones.push(Zone::new(draft, section, lines));
    }
    mistakes.check()?;
    zones.sort_by(Zone::compare);
    Ok(laid_out(draft, zones, view.stage))
}

fn shape<'a>(part: &Part<'a>) -> RowShape<'a> {
    RowShape { points: part.seats.iter().map(Placed::point).collect(), label: part.label() }
}

/// A section whose rows are in order.
struct Zone<'a> {
    name: &'a str,
    lines: Vec<Line<'a>>,
}

impl<'a> Zone<'a> {
    fn new(draft: &'a PlanDraft, section: usize, mut lines: Vec<Line<'a>>) -> Self {
        lines.sort_by(|a, b| {
            a.nearest()
                .cmp(&b.nearest())
                .then_with(|| natural(a.part.label(), b.part.label()))
                .then_with(|| a.first_id().cmp(b.first_id()))
        });
        Self { name: &draft.sections[section].name, lines }
    }

    fn compare(a: &Self, b: &Self) -> std::cmp::Ordering {
        let nearest = |zone: &Self| zone.lines.iter().map(Line::nearest).min();
        let first_id = |zone: &Self| zone.lines.iter().map(|line| line.first_id().to_owned()).min();
        nearest(a).cmp(&nearest(b)).then_with(|| natural(a.name, b.name)).then_with(|| first_id(a).cmp(&first_id(b)))
    }
}

impl Line<'_> {
    /// How near its nearest seat is to the stage, in grains.
    fn nearest(&self) -> i64 {
        self.runs.iter().map(|run| run.depth.nearest).min().unwrap_or(i64::MAX)
    }

    fn first_id(&self) -> &str {
        self.part.seats.iter().map(|seat| seat.draft.id.as_str()).min().unwrap_or("")
    }
}

/// What must be the same of all seats of a segment.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Class<'a> {
    category: &'a str,
    kind: SeatKind,
    paired: bool,
}

/// The class of a seat in its row. A pair is of the rarer kind of its two seats: the place for a wheelchair and the seat
/// beside it are given together to those who ask for the former.
fn class<'a>(seats: &[Placed<'a>], at: usize) -> Class<'a> {
    let seat = seats[at].draft;
    let partner = partner(seats, at).map_or(seat.kind, |other| seats[other].draft.kind);
    Class { category: &seat.category, kind: seat.kind.max(partner), paired: seat.pair.is_some() }
}

/// The seat beside this one with which it is sold.
fn partner(seats: &[Placed<'_>], at: usize) -> Option<usize> {
    let pair = seats[at].draft.pair.as_ref()?;
    let mut beside = [at.checked_sub(1), Some(at + 1)].into_iter().flatten();
    beside.find(|&other| seats.get(other).is_some_and(|seat| seat.draft.pair.as_ref() == Some(pair)))
}

/// Cuts a row where the class changes or an aisle begins, and notes pairs that are none.
fn cut(seats: &[Placed<'_>], step: f64, mistakes: &mut Mistakes<'_>) -> Vec<std::ops::Range<usize>> {
    let points: Vec<Point> = seats.iter().map(Placed::point).collect();
    let aisle = rows::usual_step(&points).map_or(f64::INFINITY, |(usual, gaps)| {
        AISLE * if gaps >= ENOUGH_GAPS { usual } else { usual.min(step * WIDER) }
    });
    let (mut cuts, mut start) = (Vec::new(), 0);
    for at in 1..=seats.len() {
        let ends = at == seats.len()
            || class(seats, at - 1) != class(seats, at)
            || points[at - 1].distance(points[at]) > aisle;
        if ends {
            cuts.push(start..at);
            start = at;
        }
    }
    pairs(seats, &cuts, mistakes);
    cuts
}

/// A pair's two seats stand side by side, in one category.
fn pairs(seats: &[Placed<'_>], cuts: &[std::ops::Range<usize>], mistakes: &mut Mistakes<'_>) {
    let mut sharing: HashMap<&str, usize> = HashMap::new();
    let mut runs = cuts.iter().peekable();
    seats.iter().filter_map(|seat| seat.draft.pair.as_deref()).for_each(|pair| *sharing.entry(pair).or_default() += 1);
    for (at, seat) in seats.iter().enumerate() {
        while runs.next_if(|run| run.end <= at).is_some() {}
        let Some(pair) = seat.draft.pair.as_deref() else { continue };
        let together = partner(seats, at).is_some_and(|other| runs.peek().is_some_and(|run| run.contains(&other)));
        if sharing.get(pair) != Some(&2) || !together {
            let message = "a pair is two seats side by side, in one row and one category";
            mistakes.add("pair", message, MistakePlace::at(seat.at));
        }
    }
}

/// The usual distance between two seats of the hall: the median over its rows.
fn hall_step<'a>(parts: impl Iterator<Item = &'a Part<'a>>) -> f64 {
    let steps = parts.filter_map(|part| rows::usual_step(&part.seats.iter().map(Placed::point).collect::<Vec<_>>()));
    let mut steps: Vec<f64> = steps.map(|(usual, _)| usual).collect();
    steps.sort_by(f64::total_cmp);
    steps.get(steps.len().saturating_sub(1) / 2).copied().unwrap_or(1.0)
}

/// Numbers seats and segments, ranks the segments, and names categories by where their best seats are.
fn laid_out(draft: &PlanDraft, zones: Vec<Zone<'_>>, stage: super::Stage) -> (PlanDraft, Layout) {
    let mut segments: Vec<SegmentLayout> = Vec::new();
    let mut ranked: Vec<Ranked> = Vec::new();
    let mut names: Vec<&str> = Vec::new();
    let mut sections: Vec<SectionDraft> = Vec::with_capacity(zones.len());
    let mut index = 0_u32;
    for (number, zone) in zones.iter().enumerate() {
        let mut rows: Vec<RowDraft> = Vec::with_capacity(zone.lines.len());
        for line in &zone.lines {
            let priority = line.part.row.priority.or(draft.sections[line.section].priority);
            for run in &line.runs {
                ranked.push(Ranked { priority: priority.unwrap_or(i32::MAX), depth: run.depth, section: number });
                names.push(&line.part.seats[run.seats.start].draft.category);
                let centre = (f64::from(index) + run.centre) as f32;
                segments.push(SegmentLayout { seats: run.seats.len() as u32, centre });
            }
            index += line.part.seats.len() as u32;
            rows.push(RowDraft {
                label: line.part.row.label.clone(),
                seats: line.part.seats.iter().map(|seat| SeatDraft::clone(seat.draft)).collect(),
                name: line.part.row.name.clone(),
                seat_name: line.part.row.seat_name.clone(),
                priority: None,
            });
        }
        sections.push(SectionDraft { name: zone.name.to_owned(), rows, priority: None });
    }
    let ranking = rank::order(&ranked);
    let categories = categories(&draft.categories, ranking.iter().map(|&segment| names[segment as usize]));
    let arranged = PlanDraft { size: draft.size, categories, sections, stage: Some(stage), areas: Vec::new() };
    (arranged, Layout { stage: Some(stage), segments, ranking })
}

/// The category of the best seats first; what has no seats last.
fn categories<'a>(given: &[Category], best_first: impl Iterator<Item = &'a str>) -> Vec<Category> {
    let mut order: Vec<&Category> = Vec::with_capacity(given.len());
    for name in best_first {
        if order.len() == given.len() {
            break;
        }
        if order.iter().all(|known| known.name != name) {
            order.extend(given.iter().find(|category| category.name == name));
        }
    }
    let mut rest: Vec<&Category> =
        given.iter().filter(|category| order.iter().all(|known| known.name != category.name)).collect();
    rest.sort_by(|a, b| natural(&a.name, &b.name));
    order.extend(rest);
    let colored = |(number, category): (usize, &Category)| Category {
        name: category.name.clone(),
        color: if category.color.is_empty() {
            COLORS[number % COLORS.len()].to_owned()
        } else {
            category.color.clone()
        },
    };
    order.into_iter().enumerate().map(colored).collect()
}
