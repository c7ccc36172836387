//! What is not wrong with a hall, but may surprise its author: answered by its import and by a preview of it. Must never refuse
//! anything.

use hashbrown::HashMap;
use onsale_engine::id::SeatIndex;
use onsale_engine::plan::Plan;
use onsale_engine::ports::catalogue::HallWarning;

/// Labels, and seats of each of them, that are named.
const NAMED: usize = 3;

/// Whether areas of the drawing were left out.
pub(crate) fn areas_left_out(count: usize) -> Option<HallWarning> {
    let message = format!("areas that cannot be drawn are left out ({count})");
    (count > 0).then(|| warning("AREA_LEFT_OUT", message, count))
}

fn warning(code: &str, message: String, count: usize) -> HallWarning {
    HallWarning { code: code.to_owned(), message, count: u32::try_from(count).unwrap_or(u32::MAX) }
}

/// Whether tickets of two seats would say the same.
pub(crate) fn duplicate_labels(plan: &Plan) -> Option<HallWarning> {
    let mut first: HashMap<String, SeatIndex> = HashMap::with_capacity(plan.capacity());
    let mut repeated: HashMap<SeatIndex, Vec<SeatIndex>> = HashMap::new();
    for seat in (0..plan.capacity() as u32).map(SeatIndex) {
        let earlier = *first.entry(plan.full_label(seat)).or_insert(seat);
        if earlier != seat {
            repeated.entry(earlier).or_default().push(seat);
        }
    }
    if repeated.is_empty() {
        return None;
    }
    let count = repeated.len();
    let mut labels: Vec<(SeatIndex, Vec<SeatIndex>)> = repeated.into_iter().collect();
    labels.sort_unstable_by_key(|(first, _)| *first);
    let named = labels.iter().take(NAMED).map(|(first, others)| {
        let seats = std::iter::once(first).chain(others).take(NAMED).map(|seat| format!("{:?}", plan.seat_id(*seat)));
        let more = if others.len() + 1 > NAMED { ", …" } else { "" };
        format!("{:?} on {}{more}", plan.full_label(*first), seats.collect::<Vec<_>>().join(", "))
    });
    let named = named.collect::<Vec<_>>().join("; ");
    let more = if count > NAMED { "; …" } else { "" };
    let what = if count == 1 { "a label is".to_owned() } else { format!("{count} labels are") };
    let message = format!("{what} carried by more than one seat: {named}{more}");
    Some(warning("DUPLICATE_LABEL", message, count))
}
