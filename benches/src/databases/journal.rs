//! Facts into Postgres: the journal with everything that it does (stored forms, chain, leases), and the same rows bare,
//! by `UNNEST` and by `COPY`, each on one connection, each batch committed before the next.

use super::DatabasesError;
use onsale_adapters::postgres::{DatabaseUrl, NodeLease, Postgres, PostgresJournal, Settings};
use onsale_adapters::stored::encode_fact;
use onsale_engine::id::{BuyerId, Epoch, EventId, ReservationId, SeatIndex, Seq};
use onsale_engine::money::Amount;
use onsale_engine::ports::{Journal, JournalEntry};
use onsale_engine::sale::{Entry, Fact};
use onsale_engine::time::Timestamp;
use std::time::{Duration, Instant};
use tokio_postgres::binary_copy::BinaryCopyInWriter;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, NoTls};
use uuid::Uuid;

const EVENT: EventId = EventId(Uuid::from_u128(1));
const UNNEST: &str = "INSERT INTO bare SELECT * FROM UNNEST ($1::uuid[], $2::bigint[], $3::bigint[], $4::bigint[],
    $5::smallint[], $6::bytea[], $7::bytea[])";
const TYPES: [Type; 7] = [Type::UUID, Type::INT8, Type::INT8, Type::INT8, Type::INT2, Type::BYTEA, Type::BYTEA];

/// Rows a second.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rates {
    pub(super) journal: f64,
    pub(super) unnest: f64,
    pub(super) copy: f64,
}

/// Two seats held.
fn fact(number: u64) -> Fact {
    let seat = |at: u64| SeatIndex((at % 1_000_000) as u32);
    Fact::SeatsHeld {
        reservation: ReservationId::new(EVENT, number, number),
        buyer: BuyerId(Uuid::from_u128(u128::from(number))),
        seats: [seat(number * 2), seat(number * 2 + 1)].into_iter().collect(),
        amount: Amount(300_000),
        expires_at: Timestamp::from_secs(1_780_000_300),
        slot: None,
    }
}

pub(super) async fn measure(url: String, seconds: u64, batch: usize) -> Result<Rates, DatabasesError> {
    let time = Duration::from_secs(seconds);
    let failed = |error: &dyn std::fmt::Display| DatabasesError::Database(error.to_string());
    let of_journal = {
        let url = url.clone();
        move || -> Result<f64, DatabasesError> {
            let url = DatabaseUrl::parse(&url).map_err(|error| failed(&error))?;
            let database = Postgres::open(Settings::new(url)).map_err(|error| failed(&error))?;
            let node = NodeLease::register(&database).map_err(|error| failed(&error))?;
            node.become_active(&|| false).map_err(|error| failed(&error))?;
            let mut journal = PostgresJournal::open(&database).map_err(|error| failed(&error))?;
            let epoch = journal.raise_epoch(EVENT).map_err(|error| failed(&error))?;
            append(&mut journal, epoch, time, batch)
        }
    };
    let journal = tokio::task::spawn_blocking(of_journal).await??;
    let (client, connection) = tokio_postgres::connect(&url, NoTls).await?;
    let driving = tokio::spawn(connection);
    client.batch_execute("CREATE TABLE bare (LIKE journal INCLUDING ALL)").await?;
    let unnest = bare(&client, time, batch, Way::Unnest).await?;
    client.batch_execute("TRUNCATE bare").await?;
    let copy = bare(&client, time, batch, Way::Copy).await?;
    drop(client);
    let _ = driving.await;
    Ok(Rates { journal, unnest, copy })
}

fn append(journal: &mut PostgresJournal, epoch: Epoch, time: Duration, batch: usize) -> Result<f64, DatabasesError> {
    let (started, mut seq) = (Instant::now(), 0);
    while started.elapsed() < time {
        let entry = |seq: u64| Entry {
            seq: Seq(seq),
            epoch,
            at: Timestamp::from_secs(1_780_000_000),
            trace: None,
            fact: fact(seq),
        };
        let entries: Vec<_> =
            (1..=batch as u64).map(|n| JournalEntry { event: EVENT, entry: entry(seq + n) }).collect();
        let appended = journal.append(&entries).map_err(|error| DatabasesError::Database(error.to_string()))?;
        if !appended.fenced.is_empty() {
            return Err(DatabasesError::Database("the batch was fenced".to_owned()));
        }
        seq += batch as u64;
    }
    Ok(seq as f64 / started.elapsed().as_secs_f64())
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Unnest,
    Copy,
}

/// The same columns, made before the clock starts but for their numbers.
async fn bare(client: &Client, time: Duration, batch: usize, way: Way) -> Result<f64, DatabasesError> {
    let bodies: Vec<Vec<u8>> = (0..batch as u64).map(|number| encode_fact(&fact(number)).1).collect();
    let (kind, chain) = (i16::from(encode_fact(&fact(1)).0.number()), [7_u8; 32]);
    let events = vec![EVENT.0; batch];
    let (epochs, ats) = (vec![1_i64; batch], vec![1_780_000_000_000_000_i64; batch]);
    let (kinds, chains) = (vec![kind; batch], vec![&chain[..]; batch]);
    let insert = client.prepare(UNNEST).await?;
    let copy = "COPY bare (event_id, seq, epoch, at, kind, body, chain) FROM STDIN BINARY";
    let (started, mut seq) = (Instant::now(), 0_i64);
    while started.elapsed() < time {
        let seqs: Vec<i64> = (1..=batch as i64).map(|n| seq + n).collect();
        match way {
            Way::Unnest => {
                client.execute(&insert, &[&events, &seqs, &epochs, &ats, &kinds, &bodies, &chains]).await?;
            }
            Way::Copy => {
                let writer = BinaryCopyInWriter::new(client.copy_in(copy).await?, &TYPES);
                let mut writer = std::pin::pin!(writer);
                for (row, seq) in seqs.iter().enumerate() {
                    let columns: [&(dyn ToSql + Sync); 7] =
                        [&events[row], seq, &epochs[row], &ats[row], &kinds[row], &bodies[row], &chains[row]];
                    writer.as_mut().write(&columns).await?;
                }
                writer.finish().await?;
            }
        }
        seq += batch as i64;
    }
    Ok(seq as f64 / started.elapsed().as_secs_f64())
}
