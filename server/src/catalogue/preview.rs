//! What a hall would be, before it is made: its seats, its stage, and in which order its best seats would be given. Must never
//! store anything.

use crate::catalogue::columns::{Columns, StageJson};
use crate::catalogue::halls::WarningJson;
use crate::http::{Problem, Response, response};
use onsale_adapters::Imported;
use onsale_engine::id::{CategoryIndex, SeatIndex};
use onsale_engine::plan::{Plan, SeatKind};
use serde::Serialize;

#[derive(Serialize)]
struct PreviewJson<'a> {
    capacity: usize,
    categories: Vec<&'a str>,
    warnings: Vec<WarningJson<'a>>,
    stage: Option<StageJson>,
    columns: Columns<'a>,
    ranking: Vec<RankingJson<'a>>,
}

/// The seats of a category, the best first.
#[derive(Serialize)]
struct RankingJson<'a> {
    category: &'a str,
    blocks: Vec<BlockJson<'a>>,
}

/// Seats side by side that are given before all that follow.
#[derive(Serialize)]
struct BlockJson<'a> {
    section: &'a str,
    row: &'a str,
    /// The ids of its first and its last seat.
    from: &'a str,
    to: &'a str,
    seats: usize,
    /// How far its nearest seat is from the stage, in the drawing's units.
    #[serde(skip_serializing_if = "Option::is_none")]
    distance: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<&'static str>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    paired: bool,
}

/// The answer to a dry run.
pub(super) fn preview(imported: &Imported) -> Result<Response, Problem> {
    let plan = &*imported.plan;
    let number = |at: usize| CategoryIndex(u16::try_from(at).unwrap_or(u16::MAX));
    let ranking = plan.categories().iter().enumerate().map(|(at, category)| RankingJson {
        category: &category.name,
        blocks: plan.best_segments(number(at)).iter().map(|&segment| block(plan, segment)).collect(),
    });
    response::ok(&PreviewJson {
        capacity: plan.capacity(),
        categories: plan.categories().iter().map(|category| category.name.as_str()).collect(),
        warnings: imported.warnings.iter().map(WarningJson::from).collect(),
        stage: plan.stage().map(StageJson::from),
        columns: Columns::new(plan, &[], &imported.shapes),
        ranking: ranking.collect(),
    })
}

fn block(plan: &Plan, number: u32) -> BlockJson<'_> {
    let segment = &plan.segments()[number as usize];
    let row = &plan.rows()[segment.row as usize];
    let pool = plan.pool(segment.pool);
    let distance = |seat: u32| {
        let ((x, y), stage) = (plan.seat_position(SeatIndex(seat)), plan.stage()?);
        Some(f64::from(x - stage.x).hypot(f64::from(y - stage.y)))
    };
    let nearest = segment.seats.clone().filter_map(distance).fold(f64::INFINITY, f64::min);
    BlockJson {
        section: &plan.sections()[row.section as usize].name,
        row: &row.label,
        from: plan.seat_id(SeatIndex(segment.seats.start)),
        to: plan.seat_id(SeatIndex(segment.seats.end - 1)),
        seats: segment.seats.len(),
        distance: nearest.is_finite().then(|| (nearest * 10.0).round() / 10.0),
        kind: Some(pool.kind).filter(|kind| *kind != SeatKind::Standard).map(SeatKind::word),
        paired: pool.paired,
    }
}
