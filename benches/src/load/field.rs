//! What every scenario stands on: the wire, the clock of the run, buyers' tokens and the tally. Everything runs on one
//! thread, so that a cell is lock enough.

use super::settings::Settings;
use super::tally::{Call, Outcome, Tally};
use super::wire::{Ask, Got, Lost, Wire};
use http::{HeaderValue, Method, Uri};
use onsale_engine::id::BuyerId;
use serde::Deserialize;
use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::future::Future;
use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::scene::{Scene, buyer};

/// Tokens live for an hour; one that is older than this is made again.
const TOKEN_SERVES: Duration = Duration::from_secs(50 * 60);
/// How often the driver checks whether something is due: the runtime's timers know milliseconds.
pub(super) const TICK: Duration = Duration::from_millis(1);
/// Requests that leave before others get their turn on this thread.
const AT_ONCE: u32 = 64;

/// How failures without an answer are named: a connection that broke, and one without an answer in time.
const BROKEN: &str = "connection: ";
const SILENT: &str = "no answer";

/// The load's own things.
pub(super) struct Field {
    pub settings: Settings,
    pub scene: Scene,
    pub base: String,
    /// The event.
    pub event: RefCell<String>,
    pub wire: Wire,
    pub tally: RefCell<Tally>,
    /// Requests that are not answered yet.
    pub in_flight: Cell<u64>,
    /// Whether the run was interrupted.
    pub stopped: Cell<bool>,
    /// What the scenario says of its crowd: waiting, admitted.
    pub crowd: Cell<(u64, u64)>,
    /// Answers of which the tally knows nothing, because the crowd did not ask.
    pub beside: Cell<u64>,
    /// When a request last failed because the server was out: microseconds since the run began, 0 for never.
    pub outage: Cell<u64>,
    began: Cell<Instant>,
    bearers: RefCell<Vec<(HeaderValue, Instant)>>,
    /// Numbers of buyers begin here, so that two runs have different ones.
    first_buyer: u64,
}

/// What came of a request.
pub(super) enum Answer {
    Good(Got),
    /// Refused as the scenario allows.
    Refused,
    /// Counted as an error.
    Failed,
}

#[derive(Deserialize)]
struct ProblemCode<'a> {
    #[serde(borrow)]
    code: Cow<'a, str>,
}

impl Field {
    pub(super) fn new(settings: Settings, scene: Scene, base: String, wire: Wire) -> Self {
        Self {
            settings,
            scene,
            base,
            event: RefCell::default(),
            wire,
            tally: RefCell::default(),
            in_flight: Cell::new(0),
            stopped: Cell::new(false),
            crowd: Cell::new((0, 0)),
            beside: Cell::new(0),
            outage: Cell::new(0),
            began: Cell::new(Instant::now()),
            bearers: RefCell::default(),
            first_buyer: u64::from(rand::random::<u32>()) << 24,
        }
    }

    /// Makes everybody's token, tens of thousands in a second.
    pub(super) fn mint(&self, many: u64) {
        *self.bearers.borrow_mut() = (0..many).map(|who| (self.new_bearer(who), Instant::now())).collect();
    }

    fn new_bearer(&self, who: u64) -> HeaderValue {
        let token = self.scene.token(self.id(who));
        HeaderValue::from_str(&format!("Bearer {token}")).unwrap_or_else(|_| HeaderValue::from_static("Bearer"))
    }

    /// A buyer's id.
    pub(super) fn id(&self, who: u64) -> BuyerId {
        buyer(self.first_buyer + who)
    }

    /// A buyer's bearer token.
    pub(super) fn bearer(&self, who: usize) -> HeaderValue {
        let mut bearers = self.bearers.borrow_mut();
        let Some((bearer, made)) = bearers.get_mut(who) else { return self.new_bearer(who as u64) };
        if made.elapsed() > TOKEN_SERVES {
            (*bearer, *made) = (self.new_bearer(who as u64), Instant::now());
        }
        bearer.clone()
    }

    /// The run begins now.
    pub(super) fn begin(&self) {
        self.began.set(Instant::now());
    }

    /// When it began.
    pub(super) fn began(&self) -> Instant {
        self.began.get()
    }

    /// Microseconds since it began.
    pub(super) fn now(&self) -> u64 {
        u64::try_from(self.began.get().elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// A path of the server.
    pub(super) fn uri(&self, path: &str) -> Uri {
        format!("{}{path}", self.base).parse().unwrap_or_default()
    }

    pub(super) fn get(&self, path: &str) -> Ask {
        Ask::new(Method::GET, self.uri(path))
    }

    pub(super) fn post(&self, path: &str, body: impl Into<bytes::Bytes>) -> Ask {
        Ask::new(Method::POST, self.uri(path)).with_body(body)
    }

    /// Sends a request that was due then (microseconds); `game` are codes of refusals that are no errors.
    pub(super) async fn call(&self, call: Call, who: usize, due: u64, ask: &Ask, game: &[&str]) -> Answer {
        self.leave(due);
        let answer = self.wire.send(who, ask).await;
        self.in_flight.set(self.in_flight.get() - 1);
        let took = self.since(due);
        let (outcome, answer) = match answer {
            Ok(got) => {
                let status = got.status;
                let (outcome, answer) = judged(got, game);
                self.tally.borrow_mut().status(status, outcome.code());
                (outcome, answer)
            }
            Err(lost) => (Outcome::Failed(name_of(&lost)), Answer::Failed),
        };
        self.note_outage(&outcome);
        self.tally.borrow_mut().answered(call, took, outcome);
        answer
    }

    /// Remembers that the server was out, if this outcome says so.
    pub(super) fn note_outage(&self, outcome: &Outcome) {
        if is_outage(outcome) {
            self.outage.set(self.now());
        }
    }

    /// A request leaves that was due then. The caller takes it from `in_flight` again.
    pub(super) fn leave(&self, due: u64) {
        self.tally.borrow_mut().sent(self.since(due));
        self.in_flight.set(self.in_flight.get() + 1);
    }

    pub(super) fn since(&self, due: u64) -> Duration {
        Duration::from_micros(self.now().saturating_sub(due))
    }

    /// Begins `each` when its time has come: so many, evenly over a time that begins then (microseconds).
    pub(super) async fn arrive<F>(&self, many: u64, from: u64, over: Duration, mut each: impl FnMut(u64, u64) -> F)
    where
        F: Future<Output = ()> + 'static,
    {
        let over = u64::try_from(over.as_micros()).unwrap_or(u64::MAX);
        let mut at_once = 0;
        for number in 0..many {
            let due = from + scaled(over, number, many);
            while self.now() < due && !self.stopped.get() {
                at_once = 0;
                tokio::time::sleep(TICK).await;
            }
            if self.stopped.get() {
                return;
            }
            tokio::task::spawn_local(each(number, due));
            at_once += 1;
            if at_once >= AT_ONCE {
                at_once = 0;
                tokio::task::yield_now().await;
            }
        }
    }

    /// Waits until every request is answered.
    pub(super) async fn settle(self: &Rc<Self>, timeout: Duration) {
        let until = Instant::now() + timeout;
        while self.in_flight.get() > 0 && Instant::now() < until {
            tokio::time::sleep(TICK).await;
        }
    }
}

/// `number / many` of `over`.
pub(super) fn scaled(over: u64, number: u64, many: u64) -> u64 {
    u64::try_from(u128::from(over) * u128::from(number) / u128::from(many.max(1))).unwrap_or(u64::MAX)
}

/// Whether a request failed because the server could not write, did not answer in time, or was away.
fn is_outage(outcome: &Outcome) -> bool {
    let Outcome::Failed(code) = outcome else { return false };
    matches!(code.as_str(), "STORAGE_UNAVAILABLE" | "DEADLINE_EXCEEDED" | SILENT) || code.starts_with(BROKEN)
}

fn judged(got: Got, game: &[&str]) -> (Outcome, Answer) {
    if matches!(got.status, 200..=299 | 304) {
        return (Outcome::Done, Answer::Good(got));
    }
    let code = code_of(got.status, &got.body);
    if game.contains(&code.as_str()) {
        return (Outcome::Refused(code), Answer::Refused);
    }
    (Outcome::Failed(code), Answer::Failed)
}

/// The problem's code, or the status where there is none.
pub(super) fn code_of(status: u16, body: &[u8]) -> String {
    match serde_json::from_slice::<ProblemCode<'_>>(body) {
        Ok(problem) => problem.code.into_owned(),
        Err(_) => status.to_string(),
    }
}

/// What is written of a lost answer.
pub(super) fn name_of(lost: &Lost) -> String {
    match lost {
        Lost::Broken(why) => format!("{BROKEN}{why}"),
        Lost::Silent => SILENT.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_no_outage() {
        let check = |outcome: Outcome, expected: bool| assert_eq!(is_outage(&outcome), expected, "{outcome:?}");
        let failed = |code: &str| Outcome::Failed(code.to_owned());
        check(failed("STORAGE_UNAVAILABLE"), true);
        check(failed("DEADLINE_EXCEEDED"), true);
        check(failed(&name_of(&Lost::Silent)), true);
        check(failed(&name_of(&Lost::Broken("reset".into()))), true);
        check(failed("QUEUE_FULL"), false);
        check(Outcome::Refused("STORAGE_UNAVAILABLE".into()), false);
        check(Outcome::Done, false);
    }
}
