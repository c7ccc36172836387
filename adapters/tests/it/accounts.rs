//! What every port `Accounts` must do, run on SQLite, on Postgres and on the fake.

mod older_rows;
mod sessions;

use crate::support::Database;
use onsale_adapters::postgres::{PostgresAccounts, PostgresCatalogue, PostgresPlans};
use onsale_adapters::sqlite::{DataDir, Library, SqliteAccounts, SqliteCatalogue, SqlitePlans};
use onsale_engine::fakes::{FakeAccounts, FakeCatalogue};
use onsale_engine::id::BuyerId;
use onsale_engine::ports::StoredAnswer;
use onsale_engine::ports::accounts::{
    Account, Accounts, AddressHash, CreateAccountError, Disabled, EmailHash, IssuedTokens, KNOWN_ADDRESSES, Revocation,
    Role, Rotation,
};
use onsale_engine::ports::catalogue::Catalogue;
use onsale_engine::time::Timestamp;
use sessions::*;
use std::path::Path;
use std::sync::Arc;
use uuid::Uuid;

const NOON: Timestamp = Timestamp::from_secs(1_780_000_000);
const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;
/// The hash of a client's address.
const HOME: AddressHash = [1; 16];
/// The hash of an e-mail address.
const MAIL: AddressHash = [2; 16];

fn after(secs: i64) -> Timestamp {
    Timestamp(NOON.0 + secs * 1_000_000)
}

fn id(number: u128) -> Uuid {
    Uuid::from_u128(number)
}

fn account(number: u128, email: &str) -> Account {
    Account {
        id: BuyerId(id(number)),
        email: email.into(),
        name: format!("Buyer {number}"),
        phone: None,
        role: Role::User,
        password_hash: "$argon2id$v=19$first".into(),
        created_at: NOON,
        disabled_at: None,
    }
}

fn hash(number: u8) -> [u8; 32] {
    [number; 32]
}

/// The `number`-th pair of tokens of a session, handed out `secs` after noon.
fn tokens(buyer: u128, family: u128, number: u8, secs: i64) -> IssuedTokens {
    IssuedTokens {
        family: id(family),
        buyer: BuyerId(id(buyer)),
        refresh_hash: hash(number),
        refresh_expires_at: after(secs + 14 * DAY),
        access_id: id(1000 + u128::from(number)),
        access_expires_at: after(secs + HOUR),
    }
}

/// The revocation of the access token with that number.
fn revocation(number: u8, secs: i64) -> Revocation {
    Revocation { access_id: id(1000 + u128::from(number)), until: after(secs + HOUR) }
}

fn by_token(mut revocations: Vec<Revocation>) -> Vec<Revocation> {
    revocations.sort_by_key(|revocation| revocation.access_id);
    revocations
}

fn answer(scope: u128) -> StoredAnswer {
    StoredAnswer { scope, body: u128::MAX - 5, status: 201, location: None, json: "{\"a\":1}".into(), at: NOON }
}

fn sqlite(path: &Path) -> (SqliteAccounts, SqliteCatalogue) {
    let dir = DataDir::open(path).unwrap();
    let library = Library::open(&dir).unwrap();
    let catalogue = SqliteCatalogue::new(library.clone(), SqlitePlans::open(&dir).unwrap());
    (SqliteAccounts::new(library), catalogue)
}

fn postgres(database: &Database) -> (PostgresAccounts, PostgresCatalogue) {
    let database = database.open();
    let catalogue = PostgresCatalogue::new(&database, PostgresPlans::new(&database));
    (PostgresAccounts::new(&database), catalogue)
}

macro_rules! conformance {
    ($($name:ident),+ $(,)?) => {
        mod sqlite_accounts {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                let temp = tempfile::tempdir().unwrap();
                let (accounts, catalogue) = super::sqlite(temp.path());
                super::$name(std::sync::Arc::new(accounts), &catalogue).await;
            })+
        }
        mod postgres_accounts {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                let database = crate::support::Database::new();
                let (accounts, catalogue) = super::postgres(&database);
                super::$name(std::sync::Arc::new(accounts), &catalogue).await;
            })+
        }
        mod fake_accounts {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                let catalogue = super::FakeCatalogue::default();
                super::$name(std::sync::Arc::new(super::FakeAccounts::beside(&catalogue)), &catalogue).await;
            })+
        }
    };
}

conformance!(
    an_account_is_found_by_id_and_by_address_without_case,
    of_many_sign_ups_for_one_address_one_wins,
    spellings_that_look_alike_are_one_address,
    a_deleted_account_is_gone_and_its_address_is_free,
    what_a_deleted_account_was_is_known_to_its_address_alone,
    a_password_is_hashed_again_only_if_it_is_the_same,
    the_last_addresses_of_an_account_are_known,
    members_change_where_there_is_an_account,
    an_answer_is_remembered_with_the_account_or_not_at_all,
    a_refresh_token_is_spent_once_and_reuse_ends_its_family,
    of_two_refreshes_at_once_one_is_a_reuse,
    refresh_tokens_end_in_time_with_their_session_and_with_their_account,
    a_new_password_ends_every_other_session,
    administrators_are_listed_disabled_and_enabled,
    logging_out_revokes_the_token_and_ends_its_family,
    revocations_matter_until_the_token_would_have_ended,
);

async fn an_account_is_found_by_id_and_by_address_without_case(accounts: Arc<impl Accounts>, _: &impl Catalogue) {
    let admin = Account { role: Role::Admin, phone: Some("+82 10".into()), ..account(1, "Ada.Ünal@Example.com") };
    accounts.create(&admin, MAIL, None).await.unwrap();
    for email in ["ada.ünal@example.COM", "Ada.Ünal@Example.com", " ADA.ÜNAL@example.com"] {
        assert!(accounts.by_email(email).await.unwrap().as_ref() == Some(&admin), "{email}");
    }
    assert!(accounts.by_id(admin.id).await.unwrap() == Some(admin));
    assert!(accounts.by_email("ada@example.com").await.unwrap().is_none());
    assert!(accounts.by_id(BuyerId(id(2))).await.unwrap().is_none());
    let again = accounts.create(&account(2, "ADA.ÜNAL@EXAMPLE.COM"), MAIL, None).await;
    assert!(matches!(again, Err(CreateAccountError::EmailTaken)));
    assert!(accounts.by_id(BuyerId(id(2))).await.unwrap().is_none());
}

async fn administrators_are_listed_disabled_and_enabled(accounts: Arc<impl Accounts>, _: &impl Catalogue) {
    let admin = |number: u128| Account {
        role: Role::Admin,
        created_at: after(100 - i64::try_from(number).unwrap()),
        ..account(number, &format!("admin{number}@example.com"))
    };
    for one in [admin(1), admin(2), account(3, "buyer@example.com")] {
        accounts.create(&one, [u8::try_from(one.id.0.as_u128() % 256).unwrap(); 16], None).await.unwrap();
    }
    let all = |found: Vec<Account>| found.iter().map(|one| (one.id, one.disabled_at)).collect::<Vec<_>>();
    let (first, second) = (BuyerId(id(1)), BuyerId(id(2)));
    assert_eq!(all(accounts.administrators().await.unwrap()), [(second, None), (first, None)], "the oldest first");
    accounts.open_session(&tokens(1, 1, 1, 0), [0; 16], NOON).await.unwrap();

    let done = accounts.disable(first, true, after(1)).await.unwrap();
    assert_eq!(done, Disabled::Done(vec![revocation(1, 0)]));
    assert_eq!(accounts.by_id(first).await.unwrap().unwrap().disabled_at, Some(after(1)));
    assert_eq!(accounts.rotate(hash(1), &tokens(1, 1, 2, 2), after(2)).await.unwrap(), Rotation::Unknown);
    assert!(matches!(accounts.disable(first, true, after(5)).await.unwrap(), Disabled::Done(_)), "again is no mistake");
    assert_eq!(all(accounts.administrators().await.unwrap()), [(second, None), (first, Some(after(1)))], "since when");
    assert_eq!(accounts.disable(second, true, after(6)).await.unwrap(), Disabled::Last);
    assert_eq!(accounts.disable(second, false, after(6)).await.unwrap(), Disabled::Done(Vec::new()));
    assert!(accounts.enable(first).await.unwrap() && accounts.enable(second).await.unwrap());
    assert_eq!(all(accounts.administrators().await.unwrap()), [(second, None), (first, None)]);
    for stranger in [BuyerId(id(3)), BuyerId(id(9))] {
        assert_eq!(accounts.disable(stranger, true, after(7)).await.unwrap(), Disabled::Unknown, "no administrator");
        assert!(!accounts.enable(stranger).await.unwrap());
    }
    // Each disables the other at the same time: one of the two comes first.
    let (one, other) = tokio::join!(accounts.disable(first, true, after(8)), accounts.disable(second, true, after(8)));
    assert_eq!([one.unwrap(), other.unwrap()].iter().filter(|done| **done == Disabled::Last).count(), 1);
    accounts.enable(first).await.unwrap();
    accounts.enable(second).await.unwrap();
    accounts.delete(second, [2; 16], after(9)).await.unwrap();
    assert_eq!(all(accounts.administrators().await.unwrap()), [(first, None)]);
    assert_eq!(accounts.disable(second, true, after(9)).await.unwrap(), Disabled::Unknown, "deleted");
}

async fn of_many_sign_ups_for_one_address_one_wins(accounts: Arc<impl Accounts>, _: &impl Catalogue) {
    let sign_ups = (1..=16).map(|number| {
        let accounts = accounts.clone();
        let email = if number % 2 == 0 { "one@example.com" } else { "One@Example.com" };
        tokio::spawn(async move { accounts.create(&account(number, email), MAIL, None).await })
    });
    let mut won = 0;
    for sign_up in sign_ups.collect::<Vec<_>>() {
        match sign_up.await.unwrap() {
            Ok(_) => won += 1,
            Err(CreateAccountError::EmailTaken) => {}
            Err(CreateAccountError::Store(error)) => panic!("{error}"),
        }
    }
    assert_eq!(won, 1);
}

async fn a_deleted_account_is_gone_and_its_address_is_free(accounts: Arc<impl Accounts>, _: &impl Catalogue) {
    accounts.create(&account(1, "a@example.com"), MAIL, None).await.unwrap();
    accounts.open_session(&tokens(1, 10, 1, 0), HOME, NOON).await.unwrap();
    assert_eq!(accounts.delete(BuyerId(id(1)), MAIL, after(5)).await.unwrap(), [revocation(1, 0)]);
    assert!(accounts.by_email("a@example.com").await.unwrap().is_none());
    assert!(accounts.by_id(BuyerId(id(1))).await.unwrap().is_none());
    assert!(!accounts.update(BuyerId(id(1)), "x", None).await.unwrap());
    accounts.create(&account(2, "A@example.com"), MAIL, None).await.unwrap();
    assert!(accounts.by_email("a@example.com").await.unwrap().is_some_and(|found| found.id == BuyerId(id(2))));
    assert_eq!(accounts.delete(BuyerId(id(9)), MAIL, after(5)).await.unwrap(), []);
}

async fn spellings_that_look_alike_are_one_address(accounts: Arc<impl Accounts>, _: &impl Catalogue) {
    accounts.create(&account(1, "ada@example.com"), MAIL, None).await.unwrap();
    for email in ["a\u{200b}da@example.com", "ａda@example.com", "ADA\u{2060}@EXAMPLE.com"] {
        let again = accounts.create(&account(2, email), MAIL, None).await;
        assert!(matches!(again, Err(CreateAccountError::EmailTaken)), "{email:?}");
        assert!(accounts.by_email(email).await.unwrap().is_some_and(|found| found.id == BuyerId(id(1))), "{email:?}");
    }
}

async fn what_a_deleted_account_was_is_known_to_its_address_alone(accounts: Arc<impl Accounts>, _: &impl Catalogue) {
    let other: AddressHash = [3; 16];
    let [first, second, third] = [1, 2, 3].map(|number| BuyerId(id(number)));
    assert_eq!(accounts.create(&account(1, "a@example.com"), MAIL, None).await.unwrap(), []);
    accounts.delete(first, MAIL, after(5)).await.unwrap();
    assert_eq!(accounts.create(&account(9, "b@example.com"), other, None).await.unwrap(), []);
    assert_eq!(accounts.create(&account(2, "a@example.com"), MAIL, None).await.unwrap(), [first]);
    accounts.delete(second, MAIL, after(6)).await.unwrap();
    let mut before = accounts.create(&account(3, "a@example.com"), MAIL, None).await.unwrap();
    before.sort_unstable();
    assert_eq!(before, [first, second]);
    let mut all = accounts.predecessors().await.unwrap();
    all.sort_unstable();
    assert_eq!(all, [(third, first), (third, second)]);
}

async fn a_password_is_hashed_again_only_if_it_is_the_same(accounts: Arc<impl Accounts>, _: &impl Catalogue) {
    accounts.create(&account(1, "a@example.com"), MAIL, None).await.unwrap();
    accounts.open_session(&tokens(1, 10, 1, 0), HOME, NOON).await.unwrap();
    let buyer = BuyerId(id(1));
    assert!(accounts.rehash_password(buyer, "$argon2id$v=19$first", "again").await.unwrap());
    assert!(!accounts.rehash_password(buyer, "$argon2id$v=19$first", "late").await.unwrap());
    assert!(!accounts.rehash_password(BuyerId(id(2)), "again", "nobody's").await.unwrap());
    assert_eq!(accounts.by_id(buyer).await.unwrap().unwrap().password_hash, "again");
    assert_eq!(accounts.revocations(NOON).await.unwrap(), [], "no session ends");
}

async fn the_last_addresses_of_an_account_are_known(accounts: Arc<impl Accounts>, _: &impl Catalogue) {
    for buyer in [1, 2] {
        accounts.create(&account(buyer, &format!("{buyer}@example.com")), MAIL, None).await.unwrap();
    }
    let buyer = BuyerId(id(1));
    assert!(!accounts.knows_address(buyer, HOME).await.unwrap());
    accounts.open_session(&tokens(1, 1, 1, 0), HOME, NOON).await.unwrap();
    assert!(accounts.knows_address(buyer, HOME).await.unwrap());
    assert!(!accounts.knows_address(BuyerId(id(2)), HOME).await.unwrap(), "another account");
    let place = |number: u8| -> AddressHash { [100 + number; 16] };
    for number in 1..KNOWN_ADDRESSES as u8 {
        let login = tokens(1, 100 + u128::from(number), 100 + number, i64::from(number));
        accounts.open_session(&login, place(number), after(i64::from(number))).await.unwrap();
    }
    assert!(accounts.knows_address(buyer, HOME).await.unwrap(), "as many as are remembered");
    // Used again, the first is the latest, and one more forgets the second.
    accounts.open_session(&tokens(1, 2, 2, 50), HOME, after(50)).await.unwrap();
    accounts.open_session(&tokens(1, 3, 3, 51), place(99), after(51)).await.unwrap();
    assert!(accounts.knows_address(buyer, HOME).await.unwrap());
    assert!(!accounts.knows_address(buyer, place(1)).await.unwrap());
    assert!(accounts.knows_address(buyer, place(2)).await.unwrap());
    accounts.delete(buyer, MAIL, after(60)).await.unwrap();
    assert!(!accounts.knows_address(buyer, HOME).await.unwrap());
}

async fn members_change_where_there_is_an_account(accounts: Arc<impl Accounts>, _: &impl Catalogue) {
    accounts.create(&account(1, "a@example.com"), MAIL, None).await.unwrap();
    let buyer = BuyerId(id(1));
    assert!(accounts.update(buyer, "New Name", Some("010")).await.unwrap());
    let changed = accounts.by_id(buyer).await.unwrap().unwrap();
    assert_eq!((changed.name.as_str(), changed.phone.as_deref()), ("New Name", Some("010")));
    assert!(accounts.update(buyer, "New Name", None).await.unwrap());
    assert_eq!(accounts.by_id(buyer).await.unwrap().unwrap().phone, None);
    assert!(!accounts.update(BuyerId(id(2)), "Nobody", None).await.unwrap());
    assert_eq!(accounts.set_password(BuyerId(id(2)), "hash", None, NOON).await.unwrap(), []);
}

async fn an_answer_is_remembered_with_the_account_or_not_at_all(
    accounts: Arc<impl Accounts>,
    catalogue: &impl Catalogue,
) {
    accounts.create(&account(1, "a@example.com"), MAIL, Some(&answer(1))).await.unwrap();
    assert_eq!(catalogue.recall(1, after(60)).await.unwrap(), Some(answer(1)));
    let taken = accounts.create(&account(2, "a@example.com"), MAIL, Some(&answer(2))).await;
    assert!(matches!(taken, Err(CreateAccountError::EmailTaken)));
    assert_eq!(catalogue.recall(2, after(60)).await.unwrap(), None);
    let key_in_use = accounts.create(&account(3, "c@example.com"), MAIL, Some(&answer(1))).await;
    assert!(matches!(key_in_use, Err(CreateAccountError::Store(_))));
    assert!(accounts.by_email("c@example.com").await.unwrap().is_none(), "neither the answer nor the account");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_sqlite_answered_is_there_after_reopening() {
    let temp = tempfile::tempdir().unwrap();
    what_was_answered_is_there_after_reopening(|| sqlite(temp.path())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_postgres_answered_is_there_after_reopening() {
    let database = Database::new();
    what_was_answered_is_there_after_reopening(|| postgres(&database)).await;
}

async fn what_was_answered_is_there_after_reopening<A: Accounts, C: Catalogue>(open: impl Fn() -> (A, C)) {
    {
        let (accounts, _catalogue) = open();
        accounts.create(&account(1, "a@example.com"), MAIL, Some(&answer(1))).await.unwrap();
        accounts.open_session(&tokens(1, 10, 1, 0), HOME, NOON).await.unwrap();
        accounts.rotate(hash(1), &tokens(1, 10, 2, 60), after(60)).await.unwrap();
        accounts.log_out(revocation(200, 0), after(60)).await.unwrap();
    }
    let (accounts, catalogue) = open();
    assert!(accounts.by_email("A@EXAMPLE.COM").await.unwrap() == Some(account(1, "a@example.com")));
    assert_eq!(catalogue.recall(1, after(60)).await.unwrap(), Some(answer(1)));
    assert_eq!(accounts.revocations(after(61)).await.unwrap(), [revocation(200, 0)]);
    assert_eq!(accounts.session_of(id(1002)).await.unwrap(), Some(id(10)));
    assert_eq!(accounts.rotate(hash(2), &tokens(1, 10, 3, 120), after(120)).await.unwrap(), Rotation::Rotated);
    assert_eq!(accounts.rotate(hash(1), &tokens(1, 10, 4, 121), after(121)).await.unwrap(), Rotation::Reused);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_has_expired_is_thrown_away_with_later_writes() {
    let temp = tempfile::tempdir().unwrap();
    let dir = DataDir::open(temp.path()).unwrap();
    let accounts = SqliteAccounts::new(Library::open(&dir).unwrap());
    for number in 1..=5 {
        accounts.open_session(&tokens(1, u128::from(number), number, 0), HOME, NOON).await.unwrap();
        accounts.log_out(revocation(number, 0), NOON).await.unwrap();
    }
    accounts.open_session(&tokens(1, 99, 99, 30 * DAY), HOME, after(30 * DAY)).await.unwrap();
    let library = dir.library().unwrap();
    for (table, left) in [("sessions", 1), ("refresh_tokens", 1), ("access_tokens", 1), ("revocations", 0)] {
        let rows: i64 = library.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap();
        assert_eq!(rows, left, "{table}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sign_up_that_cannot_be_written_says_so_and_can_be_repeated() {
    let temp = tempfile::tempdir().unwrap();
    let dir = DataDir::open(temp.path()).unwrap();
    let accounts = SqliteAccounts::new(Library::open(&dir).unwrap());
    let library = dir.library().unwrap();
    library
        .execute_batch("CREATE TRIGGER full BEFORE INSERT ON accounts BEGIN SELECT raise(ABORT, 'disk full'); END")
        .unwrap();
    let refused = accounts.create(&account(1, "a@example.com"), MAIL, Some(&answer(1))).await;
    assert!(matches!(refused, Err(CreateAccountError::Store(_))));
    library.execute_batch("DROP TRIGGER full").unwrap();
    accounts.create(&account(1, "a@example.com"), MAIL, Some(&answer(1))).await.unwrap();
}
