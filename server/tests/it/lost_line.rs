//! A crowd and a server that dies: in the middle of the arrivals, in the middle of the admissions, and with a journal
//! that has to be put back from a copy, after which the buyers' own tickets put the line back.

use crate::harness::Server;
use crate::shop::{Person, Reply, Shop, TIMEOUT, in_days, in_seconds};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

const CROWD: usize = 160;

async fn event(shop: &Shop, opens: &str, rate: u32) -> String {
    let admission = json!({ "required": true, "ratePerSecond": rate });
    shop.small_event(&json!({ "saleStartsAt": opens, "admission": admission })).await
}

async fn enter(shop: &Shop, event: &str, buyer: &Person) -> Reply {
    shop.post("/queue/enter").by(buyer).json(&json!({ "eventId": event })).send().await
}

async fn status(shop: &Shop, event: &str, buyer: &Person, ticket: Option<&str>) -> Reply {
    let call = shop.get(&format!("/queue/status?eventId={event}")).by(buyer);
    let call = match ticket {
        Some(ticket) => call.header("x-queue-ticket", ticket),
        None => call,
    };
    call.send().await
}

async fn steer(shop: &Shop, event: &str, change: Value) {
    shop.patch(&format!("/admin/events/{event}/admission")).by(&shop.admin).json(&change).send().await.expect(200);
}

/// Those who were answered, with rank and ticket.
type Answered = HashMap<usize, (u64, String)>;

/// Everybody enters at once, over real connections.
async fn arrive(shop: &Shop, event: &str, buyers: &[Person]) -> Answered {
    arrive_counted(shop, event, buyers, &AtomicUsize::new(0)).await
}

/// As `arrive`; `answers` says how many were answered so far.
async fn arrive_counted(shop: &Shop, event: &str, buyers: &[Person], answers: &AtomicUsize) -> Answered {
    let mut arriving = JoinSet::new();
    for (number, buyer) in buyers.iter().enumerate() {
        let (shop, event, buyer) = (shop.clone(), event.to_owned(), buyer.clone());
        arriving.spawn(async move { (number, shop.tries_to_enter(&event, &buyer).await) });
    }
    let mut answered = HashMap::new();
    while let Some(joined) = arriving.join_next().await {
        let (number, place) = joined.unwrap();
        if let Some(place) = place {
            let rank = place["rank"].as_u64().unwrap();
            answered.insert(number, (rank, place["ticket"].as_str().unwrap().to_owned()));
            answers.fetch_add(1, Ordering::Relaxed);
        }
    }
    answered
}

/// The numbers of those who stand in the line, the first first.
async fn line(shop: &Shop, event: &str, buyers: &[Person]) -> Vec<usize> {
    let mut ranks = Vec::new();
    for (number, buyer) in buyers.iter().enumerate() {
        let actual = status(shop, event, buyer, None).await;
        if actual.status == 200 {
            ranks.push((actual.json()["rank"].as_u64().unwrap(), number));
        }
    }
    ranks.sort_unstable();
    assert!(ranks.iter().zip(1..).all(|((rank, _), expected)| *rank == expected), "every rank once: {ranks:?}");
    ranks.into_iter().map(|(_, number)| number).collect()
}

/// Those of `answered`, by the rank that they were sent.
fn in_order(answered: &Answered) -> Vec<usize> {
    let mut order: Vec<_> = answered.iter().map(|(number, (rank, _))| (*rank, *number)).collect();
    order.sort_unstable();
    order.into_iter().map(|(_, number)| number).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_in_the_middle_of_the_arrivals_moves_nobody_who_was_answered() {
    let mut server = Server::start().await;
    let shop = server.shop();
    let event = event(&shop, &in_days(1), 10).await;
    let buyers: Vec<Person> = (0..CROWD).map(|_| shop.buyer()).collect();
    let (early, late) = buyers.split_at(CROWD / 2);
    let mut answered = arrive(&shop, &event, early).await;
    assert_eq!(answered.len(), early.len());
    let answers = Arc::new(AtomicUsize::new(0));
    let arriving = tokio::spawn({
        let (shop, event, late, answers) = (shop.clone(), event.clone(), late.to_vec(), Arc::clone(&answers));
        async move { arrive_counted(&shop, &event, &late, &answers).await }
    });
    // Some of the second half have been answered when it dies.
    let began = Instant::now();
    while answers.load(Ordering::Relaxed) < 5 {
        assert!(began.elapsed() < TIMEOUT, "nobody arrives");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    server.kill();
    answered.extend(arriving.await.unwrap().into_iter().map(|(number, actual)| (number + early.len(), actual)));
    assert!(answered.len() > early.len(), "some were answered");
    server.start_again().await;
    let shop = server.shop();
    let stands: Vec<usize> =
        line(&shop, &event, &buyers).await.into_iter().filter(|number| answered.contains_key(number)).collect();
    assert_eq!(stands, in_order(&answered), "everybody who was answered, in the old order");
    for buyer in &buyers {
        enter(&shop, &event, buyer).await.expect(200);
    }
    assert_eq!(line(&shop, &event, &buyers).await.len(), CROWD);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_in_the_middle_of_the_admissions_admits_nobody_twice_or_too_soon() {
    const RATE: u32 = 20;
    let mut server = Server::start().await;
    let shop = server.shop();
    let event = event(&shop, &in_days(-1), RATE).await;
    steer(&shop, &event, json!({ "paused": true })).await;
    let buyers: Vec<Person> = (0..60).map(|_| shop.buyer()).collect();
    for buyer in &buyers {
        enter(&shop, &event, buyer).await.expect(200);
    }
    steer(&shop, &event, json!({ "paused": false })).await;
    let token = shop.admitted(&event, &buyers[0]).await;
    let body = json!({ "eventId": event, "seatIds": ["A-1"] });
    let held = shop.post("/reservations/hold").by(&buyers[0]).admitted(&token).json(&body).send().await.expect(201);
    shop.admitted(&event, &buyers[9]).await;
    let mut tokens = HashMap::new();
    for (number, buyer) in buyers.iter().enumerate() {
        let place = status(&shop, &event, buyer, None).await.expect(200);
        if place["status"] == "ACTIVE" {
            tokens.insert(number, place["token"].clone());
        }
    }
    assert!((10..buyers.len()).contains(&tokens.len()), "{} of them are in", tokens.len());
    server.crash().await;
    let shop = server.shop();
    for (number, token) in &tokens {
        let place = status(&shop, &event, &buyers[*number], None).await.expect(200);
        assert_eq!((&place["status"], &place["token"]), (&json!("ACTIVE"), token), "{number} is in as before");
    }
    let payment = shop.pay(&buyers[0], &held).await.expect(201);
    shop.confirm(&buyers[0], &payment, "sim_ok").await.expect(200);
    let other = json!({ "eventId": event, "seatIds": ["A-2"] });
    let token = tokens[&1].as_str().unwrap();
    shop.post("/reservations/hold").by(&buyers[1]).admitted(token).json(&other).send().await.expect(201);
    for buyer in &buyers[1..] {
        shop.admitted(&event, buyer).await;
    }
    server.kill();
    let dues = admissions(&server.data_path());
    let who: Vec<&String> = dues.iter().map(|(who, _)| who).collect();
    let distinct: std::collections::HashSet<_> = who.iter().collect();
    assert_eq!((who.len(), distinct.len()), (buyers.len(), buyers.len()), "everybody once");
    let too_soon = dues.windows(RATE as usize + 1).find(|pair| pair[RATE as usize].1 - pair[0].1 < 1_000_000);
    assert_eq!(too_soon, None, "never more than the rate in a second, across the crash");
}

/// Who was admitted and when it was due, in microseconds, as the journal says.
fn admissions(data: &Path) -> Vec<(String, i64)> {
    let output = crate::harness::run(|command| {
        command.args(["verify", "--json", "--facts"]).arg(data);
    });
    assert!(output.status.success());
    let lines = output.stdout.split(|byte| *byte == b'\n');
    let facts = lines.filter_map(|line| serde_json::from_slice::<Value>(line).ok());
    let admitted = facts.filter(|fact| fact["kind"] == "admitted");
    let due = |fact: &Value| fact["fact"]["due"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap().as_microsecond();
    admitted.map(|fact| (fact["fact"]["buyer"].to_string(), due(&fact))).collect()
}

/// The journal of a backup that is made while the server runs.
fn copy_journal(data: &Path, to: &Path) {
    onsale_adapters::sqlite::back_up(data, to, "test").unwrap();
}

/// Puts an older journal back. What came later is in the commit log, too, and is meant to be lost.
fn put_back(data: &Path, copy: &Path) {
    for file in std::fs::read_dir(data).unwrap() {
        let file = file.unwrap();
        let name = file.file_name().into_string().unwrap();
        if name.starts_with("journal.log.") || name.starts_with("journal.db-") {
            std::fs::remove_file(file.path()).unwrap();
        }
    }
    std::fs::copy(copy.join("journal.db"), data.join("journal.db")).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_journal_that_is_put_back_gets_its_line_from_the_tickets() {
    let mut server = Server::start().await;
    let shop = server.shop();
    let event = event(&shop, &in_seconds(3600), 100).await;
    let buyers: Vec<Person> = (0..CROWD).map(|_| shop.buyer()).collect();
    let (known, lost) = buyers.split_at(CROWD / 2);
    let mut answered = arrive(&shop, &event, known).await;
    let copies = tempfile::tempdir().unwrap();
    let copy = copies.path().join("backup");
    // The copy is made while some of the second half arrive, and before others do.
    let (during, after) = lost.split_at(CROWD / 4);
    let arriving = tokio::spawn({
        let (shop, event, during) = (shop.clone(), event.clone(), during.to_vec());
        async move { arrive(&shop, &event, &during).await }
    });
    copy_journal(&server.data_path(), &copy);
    let mut add = |first: usize, actual: Answered| {
        answered.extend(actual.into_iter().map(|(number, actual)| (first + number, actual)));
    };
    add(known.len(), arriving.await.unwrap());
    add(known.len() + during.len(), arrive(&shop, &event, after).await);
    assert_eq!(answered.len(), CROWD);
    let order = in_order(&answered);
    assert_eq!(line(&shop, &event, &buyers).await, order);
    let left = *order.last().unwrap();
    shop.delete(&format!("/queue/leave?eventId={event}")).by(&buyers[order[3]]).send().await.expect(204);
    server.kill();
    put_back(&server.data_path(), &copy);
    server.start_again().await;
    let shop = server.shop();
    let before = line(&shop, &event, &buyers).await;
    assert!((known.len()..CROWD).contains(&before.len()), "{} of {CROWD} are in the copy", before.len());
    let newcomer = shop.buyer();
    enter(&shop, &event, &newcomer).await.expect(200);

    // What restores nothing: somebody else's ticket, a changed one, one of another event.
    let ticket = |number: usize| answered[&number].1.clone();
    let (own, other) = (ticket(left), ticket(order[CROWD - 2]));
    for forged in [other, own.replace("pt_", "pt_A"), "pt_".into(), format!("{own}A")] {
        status(&shop, &event, &buyers[left], Some(&forged)).await.refused(404, "NOT_IN_QUEUE");
    }
    status(&shop, &event, &buyers[left], None).await.refused(404, "NOT_IN_QUEUE");
    // Those who were lost come back last first, some by entering, some by asking.
    let missing: Vec<usize> = order.iter().copied().filter(|number| !before.contains(number)).collect();
    for (at, number) in missing.iter().rev().enumerate() {
        let (buyer, ticket) = (&buyers[*number], ticket(*number));
        let actual = match at % 2 {
            0 => status(&shop, &event, buyer, Some(&ticket)).await,
            _ => {
                let call = shop.post("/queue/enter").by(buyer).header("x-queue-ticket", &ticket);
                call.json(&json!({ "eventId": event })).send().await
            }
        };
        assert_eq!(actual.expect(200)["ticket"], ticket, "the same place, the same ticket");
    }
    assert_eq!(line(&shop, &event, &buyers).await, order, "the old order");
    let last = status(&shop, &event, &newcomer, None).await.expect(200);
    assert_eq!(last["rank"], CROWD + 1, "who came meanwhile stands behind");

    // A ticket whose place was given up is spent, also after another crash.
    let first = &buyers[order[0]];
    shop.delete(&format!("/queue/leave?eventId={event}")).by(first).send().await.expect(204);
    status(&shop, &event, first, Some(&ticket(order[0]))).await.refused(404, "NOT_IN_QUEUE");
    server.crash().await;
    let shop = server.shop();
    status(&shop, &event, first, Some(&ticket(order[0]))).await.refused(404, "NOT_IN_QUEUE");
    assert_eq!(line(&shop, &event, &buyers).await, order[1..]);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn admission_waits_until_the_lost_have_returned() {
    let mut server = Server::start().await;
    let shop = server.shop();
    let event = event(&shop, &in_days(-1), 100).await;
    steer(&shop, &event, json!({ "paused": true })).await;
    let buyers: Vec<Person> = (0..3).map(|_| shop.buyer()).collect();
    let copies = tempfile::tempdir().unwrap();
    let copy = copies.path().join("backup");
    copy_journal(&server.data_path(), &copy);
    let mut tickets = Vec::new();
    for buyer in &buyers {
        tickets.push(enter(&shop, &event, buyer).await.expect(200)["ticket"].as_str().unwrap().to_owned());
    }
    server.kill();
    put_back(&server.data_path(), &copy);
    server.start_again().await;
    let shop = server.shop();
    let second = status(&shop, &event, &buyers[1], Some(&tickets[1])).await.expect(200);
    assert_eq!(second["rank"], 1);
    steer(&shop, &event, json!({ "paused": false })).await;
    // Time for thirty admissions: the one before the head has not been seen since the restart.
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(status(&shop, &event, &buyers[1], None).await.expect(200)["status"], "WAITING");
    let first = status(&shop, &event, &buyers[0], Some(&tickets[0])).await.expect(200);
    assert!(first["rank"].as_u64().unwrap() <= 1, "{first}");
    for buyer in &buyers[..2] {
        shop.admitted(&event, buyer).await;
    }
    server.stop().await;
}
