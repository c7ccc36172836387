//! The export of an event's reservations: what its rows say, and that slow readers cost nothing.

use crate::harness::Server;
use crate::shop::{Shop, TIMEOUT};
use rusqlite::{Connection, params};
use serde_json::json;
use std::io::{BufRead, BufReader, Write};
use uuid::Uuid;

/// The rows of an export, cell by cell, as RFC 4180 has them.
fn parse(text: &str) -> Vec<Vec<String>> {
    let (mut rows, mut row, mut cell, mut quoted) = (Vec::new(), Vec::new(), String::new(), false);
    let mut chars = text.chars().peekable();
    while let Some(next) = chars.next() {
        match next {
            '"' if quoted && chars.peek() == Some(&'"') => cell.extend(chars.next()),
            '"' => quoted = !quoted,
            ',' if !quoted => row.push(std::mem::take(&mut cell)),
            '\r' if !quoted => assert_eq!(chars.peek(), Some(&'\n'), "rows end with CRLF"),
            '\n' if !quoted => {
                row.push(std::mem::take(&mut cell));
                rows.push(std::mem::take(&mut row));
            }
            other => cell.push(other),
        }
    }
    assert!(cell.is_empty() && row.is_empty(), "the last row ends, too");
    rows
}

async fn export(shop: &Shop, event: &str, query: &str) -> Vec<Vec<String>> {
    let answer = shop.get(&format!("/admin/events/{event}/reservations.csv{query}")).by(&shop.admin).send().await;
    assert_eq!(answer.status, 200);
    assert!(answer.header("content-type").starts_with("text/csv"), "{:?}", answer.headers);
    assert_eq!(answer.header("cache-control"), "no-store");
    assert_eq!(answer.header("content-disposition"), format!("attachment; filename=\"reservations-{event}.csv\""));
    parse(std::str::from_utf8(&answer.body).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_is_exported_row_by_row_and_no_cell_is_a_formula() {
    let server = Server::start().await;
    let shop = server.shop();
    let event = shop.small_event(&json!({})).await;
    let (evil, evil_id) = shop.signed_up("evil@example.org", "=HYPERLINK(\"x\", \"y\"), yes").await;
    let (minji, _) = shop.signed_up("minji@example.org", "김민지").await;
    let bought = shop.buy(&event, &evil, &["A-1", "A-2"]).await;
    let held = shop.hold(&event, &minji, &["B-1"]).await.expect(201);
    let given_back = shop.buy(&event, &minji, &["B-3"]).await;
    let own = format!("/reservations/{}", given_back["reservationId"].as_str().unwrap());
    shop.delete(&own).by(&minji).send().await.expect(200);

    let rows = export(&shop, &event, "").await;
    let header = "reservationId,status,seats,seatIds,buyerId,email,name,amount,currency,createdAt,confirmedAt,ticketNumber,refundAmount";
    assert_eq!(rows[0].join(","), header);
    assert_eq!(rows.len(), 4);
    let text = |of: &serde_json::Value| of.as_str().unwrap_or_default().to_owned();
    let expected = [
        text(&bought["reservationId"]),
        "CONFIRMED".into(),
        "A-1; A-2".into(),
        "A-1; A-2".into(),
        evil_id,
        "evil@example.org".into(),
        "'=HYPERLINK(\"x\", \"y\"), yes".into(),
        "300000".into(),
        "KRW".into(),
        text(&bought["createdAt"]),
        text(&bought["confirmedAt"]),
        text(&bought["ticketNumber"]),
        String::new(),
    ];
    assert_eq!(rows[1], expected);
    assert_eq!(
        (&*rows[2][0], &*rows[2][1], &*rows[2][6], &*rows[2][10]),
        (&*text(&held["reservationId"]), "PENDING", "김민지", "")
    );
    assert_eq!((&*rows[3][1], &*rows[3][12]), ("CANCELLED", "90000"));
    let confirmed = export(&shop, &event, "?status=CONFIRMED").await;
    assert_eq!((confirmed.len(), &confirmed[1]), (2, &rows[1]));
    assert_eq!(export(&shop, &event, "?status=EXPIRED").await.len(), 1, "the header alone");

    let path = |event: &str, query: &str| format!("/admin/events/{event}/reservations.csv{query}");
    assert_eq!(shop.get(&path(&event, "?status=ALL")).by(&shop.admin).send().await.mistakes(), ["status"]);
    let nowhere = Uuid::new_v4().to_string();
    shop.get(&path(&nowhere, "")).by(&shop.admin).send().await.refused(404, "NOT_FOUND");
    let log = server.log_when(|log| log.matches("\"EXPORT\"").count() == 3).await;
    assert!(log.lines().filter(|line| line.contains("\"EXPORT\"")).all(|line| line.contains(&event)), "{log}");
    assert!(!log.contains("minji@example.org"), "no address in the log");
    server.stop().await;
}

/// Rows that were never sold here, as a great sale would leave them.
fn fill(server: &Server, event: &str, rows: u32) {
    let mut library = Connection::open(server.data_path().join("library.db")).unwrap();
    let event: Uuid = event.parse().unwrap();
    let transaction = library.transaction().unwrap();
    for number in 0..rows {
        let id = Uuid::from_u128((u128::from(number) << 64) | 0x7000_0000_0000_0000_8000_0000_0000_0000);
        let made = 1_700_000_000_000_000 + i64::from(number / 3);
        let words = ["CONFIRMED", "EXPIRED", "CANCELLED"];
        let sql =
            "INSERT INTO reservations (id, event_id, user_id, status, amount, currency, hold_expires_at, created_at)
            VALUES (?1, ?2, ?3, ?4, 150000, 'KRW', ?5, ?5)";
        let of = params![id.as_bytes(), event.as_bytes(), id.as_bytes(), words[number as usize % 3], made];
        transaction.prepare_cached(sql).unwrap().execute(of).unwrap();
        let sql = "INSERT INTO reservation_seats VALUES (?1, 0, 'A-1', 0)";
        transaction.prepare_cached(sql).unwrap().execute([id.as_bytes()]).unwrap();
    }
    transaction.commit().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_readers_of_a_large_export_hold_neither_memory_nor_a_connection() {
    const ROWS: u32 = 120_000;
    let mut server = Server::start().await;
    let shop = server.shop();
    let event = shop.small_event(&json!({})).await;
    server.terminate();
    assert!(server.ended().await.success());
    fill(&server, &event, ROWS);
    server.start_again().await;
    let shop = server.shop();
    shop.get(&format!("/admin/reservations?eventId={event}")).by(&shop.admin).send().await.expect(200);
    let before = server.memory_kib();

    // More readers than there are connections, who take the head of the answer and then nothing.
    let head = format!(
        "GET /api/v1/admin/events/{event}/reservations.csv HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\n\r\n",
        shop.admin.token
    );
    let mut readers: Vec<BufReader<std::net::TcpStream>> = Vec::new();
    for _ in 0..12 {
        let mut stream = server.connect().unwrap();
        stream.write_all(head.as_bytes()).unwrap();
        let mut reader = BufReader::with_capacity(64, stream);
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        assert!(line.starts_with("HTTP/1.1 200"), "{line}");
        readers.push(reader);
    }
    // Others are answered meanwhile, a whole export among them.
    for _ in 0..20 {
        let began = tokio::time::Instant::now();
        shop.get(&format!("/admin/reservations?eventId={event}&q=nobody")).by(&shop.admin).send().await.expect(200);
        assert!(began.elapsed() < TIMEOUT / 4, "a reader holds a connection");
    }
    let rows = export(&shop, &event, "").await;
    assert_eq!(rows.len(), ROWS as usize + 1);
    let mut seen: Vec<&str> = rows[1..].iter().map(|row| row[0].as_str()).collect();
    assert!(seen.is_sorted(), "the oldest first");
    seen.dedup();
    assert_eq!(seen.len(), ROWS as usize, "each once");
    let grown = server.memory_kib().saturating_sub(before);
    // All of them whole would be 12 times 20 MiB.
    assert!(grown < 96 * 1024, "it has {grown} KiB more in memory");
    let confirmed = export(&shop, &event, "?status=CONFIRMED").await;
    assert_eq!(confirmed.len(), ROWS as usize / 3 + 1);

    // Who has gone is forgotten, and who reads at last reads on.
    let mut patient = readers.pop().unwrap();
    drop(readers);
    let (done, finished) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let (mut lines, mut line) = (0, String::new());
        while !line.starts_with("0\r") && patient.read_line(&mut line).unwrap_or(0) > 0 {
            lines += usize::from(line.contains(",KRW,"));
            if !line.starts_with("0\r") {
                line.clear();
            }
        }
        done.send(lines).unwrap();
    });
    let lines = tokio::time::timeout(TIMEOUT * 3, finished).await.unwrap().unwrap();
    // A row that a chunk of the transfer cuts in two may be missed by this count.
    assert!(lines + 500 > ROWS as usize, "{lines}");
    server.stop().await;
}
