//! Rows as older versions have left them are brought up to date when the storage is opened.

use super::*;

/// Rows as an older version has left them, on any storage: two spellings of one address, and a deleted account.
const OLDER: [(u128, &str, &str, &str); 4] = [
    (1, "a\u{200b}da@example.com", "a\u{200b}da@example.com", "NULL"),
    (2, "\u{200b}ada@example.com", "\u{200b}ada@example.com", "NULL"),
    (3, "Ünal@example.com", "ünal@example.com", "NULL"),
    (4, "Gone@example.com", "gone@example.com", "1"),
];

async fn older_rows_are_brought_up_to_date(accounts: impl Accounts, count: impl Fn(&str) -> i64) {
    let hash = || -> EmailHash { Arc::new(|key| if key == "gone@example.com" { MAIL } else { HOME }) };
    for _ in 0..2 {
        accounts.bring_up_to_date(hash()).await.unwrap();
    }
    let found = async |email: &str| accounts.by_email(email).await.unwrap().map(|found| found.id.0.as_u128());
    // The oldest has the normal form; the other is found as it was written.
    assert_eq!(found("ada@example.com").await, Some(1));
    assert_eq!(found("a\u{200b}da@example.com").await, Some(1));
    assert_eq!(found("\u{200b}ada@example.com").await, Some(2));
    assert_eq!(found("ÜNAL@example.com").await, Some(3));
    let taken = accounts.create(&account(8, "ada@example.com"), MAIL, None).await;
    assert!(matches!(taken, Err(CreateAccountError::EmailTaken)));
    // Nothing personal is left of the deleted one, but that there was one.
    assert_eq!(count("email <> '' AND deleted_at IS NOT NULL"), 0);
    assert_eq!(count("password_hash = '' AND name = '' AND phone IS NULL AND email_key = ''"), 1);
    assert_eq!(accounts.create(&account(9, "gone@example.com"), MAIL, None).await.unwrap(), [BuyerId(id(4))]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn older_rows_of_sqlite_are_brought_up_to_date() {
    let temp = tempfile::tempdir().unwrap();
    let dir = DataDir::open(temp.path()).unwrap();
    let library = dir.library().unwrap();
    for (number, email, key, deleted) in OLDER {
        let sql = format!(
            "INSERT INTO accounts VALUES (x'{number:032x}', '{email}', '{key}', 'n', '1', 'USER', 'h', {number}, {deleted}, NULL, NULL)"
        );
        library.execute(&sql, []).unwrap();
    }
    let count = |sql: &str| {
        library.query_row(&format!("SELECT count(*) FROM accounts WHERE {sql}"), [], |row| row.get(0)).unwrap()
    };
    older_rows_are_brought_up_to_date(SqliteAccounts::new(Library::open(&dir).unwrap()), count).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn older_rows_of_postgres_are_brought_up_to_date() {
    let database = Database::new();
    let (accounts, _) = postgres(&database);
    for (number, email, key, deleted) in OLDER {
        let deleted = if deleted == "NULL" { "NULL" } else { "now()" };
        let id = id(number);
        database.sql(&format!(
            "INSERT INTO accounts (id, email, email_key, name, phone, role, password_hash, created_at, deleted_at)
             VALUES ('{id}', '{email}', '{key}', 'n', '1', 'USER', 'h', to_timestamp({number}), {deleted})"
        ));
    }
    let count = |sql: &str| database.sql(&format!("SELECT count(*) FROM accounts WHERE {sql}"))[0][0].parse().unwrap();
    older_rows_are_brought_up_to_date(accounts, count).await;
}
