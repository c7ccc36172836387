//! Readers before an on-sale: the list, the event, and its seat map, which most of them have already. One phase after
//! the other, each at its own rate.

use super::error::LoadError;
use super::field::{Answer, Field};
use super::findings::Findings;
use super::levels::Level;
use super::tally::Call;
use super::venue::{EventRequest, prepare};
use super::wire::Ask;
use http::HeaderValue;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

/// Seats of the hall that is made.
const SEATS: u64 = 5000;
/// Of a hundred readers, so many read the event, and so many the list; the others the seat map.
const EVENT_PERCENT: u32 = 50;
const LIST_PERCENT: u32 = 20;
/// Of a hundred who read the seat map, so many have it already.
const HAVE_MAP_PERCENT: u32 = 90;

struct Reading {
    field: Rc<Field>,
    list: Ask,
    event: Ask,
    map: Ask,
    rng: RefCell<StdRng>,
    etag: RefCell<Option<HeaderValue>>,
    /// What the reads of this phase took, in microseconds.
    took: RefCell<Vec<u64>>,
}

pub(super) async fn run(field: &Rc<Field>) -> Result<Findings, LoadError> {
    let _ = prepare(field, || EventRequest::open(SEATS)).await?;
    let event = field.event.borrow().clone();
    let mut map = field.get(&format!("/api/v1/events/{event}/seats"));
    map.gzip = true;
    let reading = Rc::new(Reading {
        field: Rc::clone(field),
        list: field.get("/api/v1/events?page=0&size=20"),
        event: field.get(&format!("/api/v1/events/{event}")),
        map,
        rng: RefCell::new(StdRng::seed_from_u64(field.settings.seed)),
        etag: RefCell::default(),
        took: RefCell::default(),
    });
    field.begin();
    let mut levels = Vec::new();
    for phase in &field.settings.phases {
        let from = field.now();
        let each = |number, due| {
            let reading = Rc::clone(&reading);
            async move { reading.read(number, due).await }
        };
        field.arrive(phase.rate * phase.lasts.as_secs(), from, phase.lasts, each).await;
        field.settle(Duration::from_secs(30)).await;
        let mut took = std::mem::take(&mut *reading.took.borrow_mut());
        took.sort_unstable();
        let limit = field.settings.limits.read_p95_ms;
        let at = |share: f64| took.get((took.len() as f64 * share) as usize).map_or(0.0, |took| *took as f64 / 1000.0);
        let name = format!("reads at {}/s p95", phase.rate);
        let measured = format!("{:.1} ms (p50 {:.1}, p99 {:.1})", at(0.95), at(0.5), at(0.99));
        levels.push(Level::new(&name, format!("< {limit} ms"), measured, !took.is_empty() && at(0.95) < limit));
    }
    Ok(Findings { levels, story: Vec::new(), ranks: Vec::new(), rate: None, pace: None })
}

impl Reading {
    async fn read(&self, number: u64, due: u64) {
        let (dice, has_map) = {
            let mut rng = self.rng.borrow_mut();
            (rng.random_range(0..100), rng.random_range(0..100) < HAVE_MAP_PERCENT)
        };
        let (call, ask) = match dice {
            dice if dice < EVENT_PERCENT => (Call::Event, self.event.clone()),
            dice if dice < EVENT_PERCENT + LIST_PERCENT => (Call::List, self.list.clone()),
            _ => {
                let if_none_match = self.etag.borrow().clone().filter(|_| has_map);
                (Call::Map, Ask { if_none_match, ..self.map.clone() })
            }
        };
        let answer = self.field.call(call, number as usize, due, &ask, &[]).await;
        self.took.borrow_mut().push(self.field.since(due).as_micros() as u64);
        if let (Call::Map, Answer::Good(got)) = (call, answer)
            && let Some(etag) = got.etag
        {
            *self.etag.borrow_mut() = Some(etag);
        }
    }
}
