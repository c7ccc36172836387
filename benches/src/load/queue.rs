//! The crowd in the waiting room: each buyer a few dozen bytes that one driver moves on, no task of their own but while a
//! request is in flight or a stream is open. What they are answered is checked against what must be true of a line.

use super::crowd::{Crowd, SECOND, Step, Way, gone_by};
use super::error::LoadError;
use super::field::{Answer, Field, TICK, code_of, name_of};
use super::findings::Findings;
use super::levels::Level;
use super::order::{Joined, Known, Pace};
use super::place::{Place, Stand};
use super::tally::{Call, Outcome};
use super::venue::{EventRequest, Rules, prepare};
use super::wire::{Ask, Stream};
use http::Method;
use jiff::Timestamp;
use rand::Rng;
use std::cell::{Cell, RefCell};
use std::cmp::Reverse;
use std::rc::Rc;
use std::time::Duration;

/// How often a buyer tries to enter before giving up.
const TRIES: u8 = 5;
/// Requests that leave before their answers get their turn on this thread.
const AT_ONCE: u32 = 64;
/// Seats of the hall: the crowd only waits.
const SEATS: u64 = 10_000;

struct Room {
    field: Rc<Field>,
    rules: Rules,
    crowd: RefCell<Crowd>,
    enter: Ask,
    status: Ask,
    stream: Ask,
    leave: Ask,
    /// When the run began and when the sale opens: microseconds since 1970, and since the run began.
    began_wall: i64,
    opens_at: u64,
    streams_open: Cell<u64>,
}

/// Runs the whole scenario.
pub(super) async fn run(field: &Rc<Field>) -> Result<Findings, LoadError> {
    let settings = &field.settings;
    let wait = settings.made.opens_after.map(|after| jiff::SignedDuration::try_from(after).unwrap_or_default());
    let opens = Timestamp::now() + wait.unwrap_or(jiff::SignedDuration::from_secs(-1));
    let (rules, _) = prepare(field, || EventRequest::queued(field, SEATS, opens)).await?;
    let event = field.event.borrow().clone();
    field.begin();
    let began_wall = Timestamp::now().as_microsecond();
    let opens_at = u64::try_from(rules.opens.as_microsecond() - began_wall).unwrap_or(0);
    let path = |what: &str| format!("/api/v1/queue/{what}?eventId={event}");
    let room = Rc::new(Room {
        enter: field.post("/api/v1/queue/enter", format!(r#"{{"eventId":"{event}"}}"#)),
        status: field.get(&path("status")),
        stream: field.get(&path("stream")),
        leave: Ask::new(Method::DELETE, field.uri(&path("leave"))),
        crowd: RefCell::new(Crowd::new(field, opens_at, rules.is_drawn)),
        field: Rc::clone(field),
        rules,
        began_wall,
        opens_at,
        streams_open: Cell::new(0),
    });
    drive(&room).await;
    let ended_wall = room.began_wall + i64::try_from(field.now()).unwrap_or(i64::MAX);
    field.settle(Duration::from_secs(5)).await;
    Ok(room.findings(ended_wall))
}

/// Wakes each buyer when due, until everybody is through or the time is over.
async fn drive(room: &Rc<Room>) {
    let field = &room.field;
    let arrive = field.settings.arrive.as_micros() as u64;
    let ends = room.opens_at.max(arrive) + field.settings.lasts.as_micros() as u64;
    let mut at_once = 0;
    loop {
        let now = field.now();
        let next = {
            let mut crowd = room.crowd.borrow_mut();
            field.crowd.set((crowd.waiting, crowd.order.admissions()));
            if crowd.through == field.settings.buyers || now >= ends || field.stopped.get() {
                return;
            }
            match crowd.timers.peek() {
                Some(Reverse((due, _))) if *due <= now => crowd.timers.pop(),
                Some(_) | None => None,
            }
        };
        match next {
            Some(Reverse((due, who))) => {
                room.wake(who, due);
                at_once += 1;
                if at_once >= AT_ONCE {
                    at_once = 0;
                    tokio::task::yield_now().await;
                }
            }
            None => {
                at_once = 0;
                tokio::time::sleep(TICK).await;
            }
        }
    }
}

impl Room {
    /// A buyer's time has come.
    fn wake(self: &Rc<Self>, who: u32, due: u64) {
        let (step, leaves, place, gone_by) = {
            let crowd = self.crowd.borrow();
            let buyer = &crowd.buyers[who as usize];
            let leaves = matches!(buyer.way, Way::Leaves { .. }) && due >= buyer.leaves_at;
            (buyer.step, leaves, buyer.place, self.gone_by(buyer.joined.answered))
        };
        let room = Rc::clone(self);
        match step {
            Step::Coming => drop(tokio::task::spawn_local(async move { room.enters(who, due).await })),
            Step::InLine if leaves => drop(tokio::task::spawn_local(async move { room.leaves(who, due).await })),
            Step::InLine if self.field.settings.streams => {
                drop(tokio::task::spawn_local(async move { room.listens(who, place, due).await }));
            }
            // There was an outage meanwhile. A poll is a sign of life, so this one must wait before polling.
            Step::Silent if due < gone_by => self.crowd.borrow_mut().wake(who, gone_by),
            Step::InLine | Step::Silent => drop(tokio::task::spawn_local(async move { room.polls(who, due).await })),
            Step::LetIn | Step::Gone => {}
        }
    }

    fn gone_by(&self, answered: u64) -> u64 {
        gone_by(answered, self.field.outage.get(), self.rules.absent_after.as_micros() as u64)
    }

    async fn enters(&self, who: u32, due: u64) {
        let asked = self.field.now();
        let ask = self.enter.clone().by(&self.field.bearer(who as usize));
        let answer = self.field.call(Call::Enter, who as usize, due, &ask, &[]).await;
        let Answer::Good(got) = answer else {
            let mut crowd = self.crowd.borrow_mut();
            crowd.is_whole = false;
            crowd.buyer(who).tries += 1;
            if crowd.buyer(who).tries >= TRIES {
                crowd.is_gone(who);
            } else {
                let pause = crowd.rng.random_range(SECOND..2 * SECOND);
                crowd.wake(who, self.field.now() + pause);
            }
            return;
        };
        let answered = self.field.now();
        let mut crowd = self.crowd.borrow_mut();
        match Place::read(&got.body) {
            Ok((stand @ (Stand::PreQueue | Stand::Waiting), place)) => {
                let rank = if stand == Stand::PreQueue { place.rank } else { None };
                let joined = Joined { asked, answered, rank };
                crowd.order.joined(who, &joined);
                crowd.waiting += 1;
                let buyer = crowd.buyer(who);
                (buyer.joined, buyer.rank, buyer.step) = (joined, place.rank, Step::InLine);
                buyer.place += 1;
                if buyer.place == 1 {
                    buyer.first_rank = rank;
                }
                self.first_poll(&mut crowd, who, answered, place.poll_after_seconds);
            }
            Ok((Stand::Active, place)) => {
                crowd.waiting += 1;
                crowd.buyer(who).joined = Joined { asked, answered, rank: None };
                self.let_in(&mut crowd, who, &place);
            }
            Ok((Stand::Expired, _)) => {
                crowd.surprises.add(|| format!("buyer {who} entered and was answered EXPIRED"));
                crowd.is_gone(who);
            }
            Err(why) => self.surprised(&mut crowd, who, why),
        }
    }

    /// What a buyer does first with a new place.
    fn first_poll(&self, crowd: &mut Crowd, who: u32, answered: u64, poll_seconds: u64) {
        let buyer = crowd.buyer(who);
        let (first, leaves_at) = (buyer.place == 1, buyer.leaves_at);
        match buyer.way {
            Way::FallsSilent if first => {
                buyer.step = Step::Silent;
                crowd.wake(who, self.gone_by(answered));
            }
            way if self.field.settings.streams => {
                crowd.wake(who, answered);
                if first && matches!(way, Way::Leaves { .. }) {
                    crowd.wake(who, leaves_at.max(answered + 1));
                }
            }
            Way::Stays | Way::Leaves { .. } | Way::FallsSilent => self.next_poll(crowd, who, answered, poll_seconds),
        }
    }

    fn next_poll(&self, crowd: &mut Crowd, who: u32, answered: u64, poll_seconds: u64) {
        crowd.longest_poll = crowd.longest_poll.max(poll_seconds);
        // A little apart from each other, as real clients are.
        let pause = poll_seconds * SECOND;
        let mut at = answered + crowd.rng.random_range(pause * 9 / 10..=pause * 11 / 10);
        let buyer = crowd.buyer(who);
        if matches!(buyer.way, Way::Leaves { .. }) && buyer.leaves_at > answered {
            at = at.min(buyer.leaves_at);
        }
        crowd.wake(who, at);
    }

    async fn polls(&self, who: u32, due: u64) {
        let known = self.crowd.borrow().order.known();
        let ask = self.status.clone().by(&self.field.bearer(who as usize));
        let answer = self.field.call(Call::Status, who as usize, due, &ask, &[]).await;
        let mut crowd = self.crowd.borrow_mut();
        let now = self.field.now();
        let Answer::Good(got) = answer else {
            crowd.wake(who, now + 2 * SECOND);
            return;
        };
        match Place::read(&got.body) {
            Ok((stand, place)) => {
                let poll_seconds = place.poll_after_seconds;
                if self.check_place(&mut crowd, who, stand, &place, known) {
                    self.next_poll(&mut crowd, who, now, poll_seconds);
                }
            }
            Err(why) => self.surprised(&mut crowd, who, why),
        }
    }

    /// Checks the place that a buyer was answered; whether there is more to come.
    fn check_place(&self, crowd: &mut Crowd, who: u32, stand: Stand, place: &Place<'_>, known: Known) -> bool {
        let buyer = crowd.buyer(who);
        let (joined, before, step) = (buyer.joined, buyer.rank, buyer.step);
        match stand {
            Stand::PreQueue | Stand::Waiting if step == Step::Silent => {
                crowd.surprises.add(|| format!("buyer {who} was silent for too long and still has a place"));
                crowd.buyer(who).step = Step::InLine;
                true
            }
            Stand::PreQueue | Stand::Waiting => {
                crowd.order.waits(who, &joined, before, place.rank, known);
                crowd.buyer(who).rank = place.rank;
                true
            }
            Stand::Active => {
                self.let_in(crowd, who, place);
                false
            }
            Stand::Expired => {
                crowd.waiting -= 1;
                if step == Step::Silent {
                    crowd.expired += 1;
                } else {
                    crowd.surprises.add(|| format!("buyer {who} has polled in time and is EXPIRED"));
                }
                let pause = crowd.rng.random_range(SECOND / 10..SECOND);
                crowd.comes_again(who, self.field.now() + pause);
                false
            }
        }
    }

    fn let_in(&self, crowd: &mut Crowd, who: u32, place: &Place<'_>) {
        crowd.waiting -= 1;
        // Who falls silent on purpose and asks much later has not been sent it late.
        let listens = std::mem::replace(&mut crowd.buyer(who).step, Step::LetIn) != Step::Silent;
        crowd.through += 1;
        match place.ends() {
            Ok(ends) => {
                let buyer = crowd.buyer(who);
                let (joined, is_first) = (buyer.joined, buyer.place <= 1);
                crowd.order.admitted(who, joined, ends, is_first);
                let now = self.began_wall + i64::try_from(self.field.now()).unwrap_or(i64::MAX);
                let late = u64::try_from(now - (ends - self.rules.token_micros)).unwrap_or(0);
                let late = Duration::from_micros(late);
                if listens {
                    self.field.tally.borrow_mut().record(Call::LetIn, late, Outcome::Done);
                }
            }
            Err(why) => crowd.surprises.add(|| format!("buyer {who}: {why}")),
        }
    }

    fn surprised(&self, crowd: &mut Crowd, who: u32, why: String) {
        crowd.surprises.add(|| format!("buyer {who}: {why}"));
        crowd.is_gone(who);
    }

    async fn leaves(&self, who: u32, due: u64) {
        let ask = self.leave.clone().by(&self.field.bearer(who as usize));
        // From here on no answer about this place counts.
        self.crowd.borrow_mut().buyer(who).step = Step::Gone;
        let answer = self.field.call(Call::Leave, who as usize, due, &ask, &[]).await;
        let mut crowd = self.crowd.borrow_mut();
        crowd.waiting -= 1;
        crowd.left += 1;
        let comes_back = crowd.buyer(who).way == Way::Leaves { comes_back: true };
        if comes_back && matches!(answer, Answer::Good(_)) {
            let pause = crowd.rng.random_range(SECOND..3 * SECOND);
            // Once is enough.
            crowd.buyer(who).way = Way::Stays;
            crowd.comes_again(who, self.field.now() + pause);
        } else {
            crowd.is_gone(who);
        }
    }

    /// Opens an event stream and reads it until the place is over.
    async fn listens(self: &Rc<Self>, who: u32, place: u16, due: u64) {
        let ask = self.stream.clone().by(&self.field.bearer(who as usize));
        self.field.leave(due);
        let opened = self.field.wire.open_stream(who as usize, &ask).await;
        let status = opened.as_ref().ok().map(|(status, _)| *status);
        let first = match opened {
            Ok((200, mut stream)) => match stream.next().await {
                Ok(Some(event)) => Ok((event, stream)),
                Ok(None) => Err("the stream ended before its first event".to_owned()),
                Err(lost) => Err(name_of(&lost)),
            },
            Ok((status, mut stream)) => Err(code_of(status, &stream.rest().await)),
            Err(lost) => Err(name_of(&lost)),
        };
        self.field.in_flight.set(self.field.in_flight.get() - 1);
        let outcome = first.as_ref().map_or_else(|why| Outcome::Failed(why.clone()), |_| Outcome::Done);
        if let Some(status) = status {
            self.field.tally.borrow_mut().status(status, outcome.code());
        }
        self.field.note_outage(&outcome);
        // A buyer who left meanwhile is rightly answered that there is no place.
        if outcome == Outcome::Done || self.crowd.borrow().takes_part(who, place) {
            self.field.tally.borrow_mut().answered(Call::Stream, self.field.since(due), outcome);
        }
        let ended = match first {
            Ok((event, stream)) => {
                self.streams_open.set(self.streams_open.get() + 1);
                let ended = self.reads_stream(who, place, event, stream).await;
                self.streams_open.set(self.streams_open.get() - 1);
                ended
            }
            Err(_) => true,
        };
        let mut crowd = self.crowd.borrow_mut();
        if ended && crowd.takes_part(who, place) && !self.field.stopped.get() {
            let pause = crowd.rng.random_range(2 * SECOND..4 * SECOND);
            crowd.wake(who, self.field.now() + pause);
        }
    }

    /// Whether the stream broke off.
    async fn reads_stream(&self, who: u32, place: u16, first: bytes::Bytes, mut stream: Stream) -> bool {
        let mut event = first;
        loop {
            self.field.tally.borrow_mut().event();
            {
                let mut crowd = self.crowd.borrow_mut();
                if !crowd.takes_part(who, place) {
                    return false;
                }
                let goes_on = match Place::read(&event) {
                    // An event may have been on its way for a while: it is no answer to a question.
                    Ok((stand, place)) => self.check_place(&mut crowd, who, stand, &place, Known::default()),
                    Err(why) => {
                        self.surprised(&mut crowd, who, why);
                        false
                    }
                };
                if !goes_on {
                    return false;
                }
            }
            event = match stream.next().await {
                Ok(Some(event)) if !is_end(&event) => event,
                Ok(_) | Err(_) if !self.crowd.borrow().takes_part(who, place) => return false,
                Ok(_) => {
                    self.field.outage.set(self.field.now());
                    let code = Outcome::Failed("the stream ended".into());
                    self.field.tally.borrow_mut().record(Call::Stream, Duration::ZERO, code);
                    return true;
                }
                Err(lost) => {
                    let code = Outcome::Failed(name_of(&lost));
                    self.field.note_outage(&code);
                    self.field.tally.borrow_mut().record(Call::Stream, Duration::ZERO, code);
                    return true;
                }
            };
        }
    }

    fn findings(&self, ended_wall: i64) -> Findings {
        let mut crowd = self.crowd.borrow_mut();
        let crowd = &mut *crowd;
        crowd.order.close(self.rules.rate, crowd.is_whole);
        // Those who were let in last may not have asked since.
        let all_through = crowd.through == self.field.settings.buyers;
        let unseen = if self.field.settings.streams { 2 } else { crowd.longest_poll * 11 / 10 + 2 };
        let until = ended_wall - i64::try_from(unseen * SECOND).unwrap_or(0) + self.rules.token_micros;
        let pace = crowd.order.pace((!all_through).then_some(until));
        let mut levels = vec![
            Level::none("every rank unique", &crowd.order.uniqueness),
            Level::none("the line is kept", &crowd.order.sequence),
            Level::none("the rate is never exceeded", &crowd.order.window),
            Level::none("places are as promised", &crowd.surprises),
        ];
        let held_percent = self.field.settings.limits.held_percent;
        let as_answered = pace_level("admission rate as told", pace, self.rules.rate, held_percent);
        let mut paces = Vec::new();
        if self.field.settings.is_own() {
            // A buyer who leaves just when let in never receives that: the journal has it, and is read.
            paces.push((as_answered.name, as_answered.measured));
        } else {
            levels.push(as_answered);
        }
        let buyers = (0u64..).zip(&crowd.buyers);
        let ranks = buyers.filter_map(|(who, buyer)| Some((self.field.id(who), buyer.first_rank?))).collect();
        let story = [
            ("let in, as told", pace.admitted.max(crowd.order.admissions()).to_string()),
            ("still waiting", crowd.waiting.to_string()),
            ("left", crowd.left.to_string()),
            ("silent and expired", crowd.expired.to_string()),
            ("asked again after at most", format!("{} s", crowd.longest_poll)),
            ("streams open at the end", self.streams_open.get().to_string()),
        ];
        Findings {
            levels,
            story: paces.into_iter().chain(story.map(|(name, value)| (name.to_owned(), value))).collect(),
            ranks,
            rate: Some(self.rules.rate),
            pace: Some(pace),
        }
    }
}

/// Whether an event is the last of its stream, which says why it ends.
fn is_end(event: &[u8]) -> bool {
    event.starts_with(b"{\"code\":")
}

/// Admissions reach the rate, and hold it for a minute where there was one.
pub(super) fn pace_level(name: &str, pace: Pace, rate: u64, held_percent: f64) -> Level {
    let wanted = rate as f64 * held_percent / 100.0;
    let minute = pace
        .best_minute
        .map_or_else(|| "less than a minute".to_owned(), |most| format!("{most} in a minute ({} an hour)", most * 60));
    let measured = format!("{:.2}/s over {} admissions; {minute}", pace.rate, pace.admitted);
    let minute_is_full = pace.best_minute.is_none_or(|most| most as f64 >= wanted * 60.0);
    let met = pace.counted == 0 || pace.rate >= wanted && minute_is_full;
    Level::new(name, format!("≥ {wanted:.2}/s"), measured, met)
}
