//! What accounts do with sessions: refresh tokens are spent once, reuse ends a family, revocations last as long as tokens.

use super::*;

pub(super) async fn a_refresh_token_is_spent_once_and_reuse_ends_its_family(
    accounts: Arc<impl Accounts>,
    _: &impl Catalogue,
) {
    accounts.create(&account(1, "a@example.com"), MAIL, None).await.unwrap();
    let buyer = BuyerId(id(1));
    accounts.open_session(&tokens(1, 10, 1, 0), HOME, NOON).await.unwrap();
    accounts.open_session(&tokens(1, 20, 9, 0), HOME, NOON).await.unwrap();
    assert_eq!(accounts.refresh_owner(hash(1)).await.unwrap(), Some((buyer, id(10))));
    assert_eq!(accounts.refresh_owner(hash(7)).await.unwrap(), None);
    assert_eq!(accounts.rotate(hash(1), &tokens(1, 10, 2, 60), after(60)).await.unwrap(), Rotation::Rotated);
    assert_eq!(accounts.rotate(hash(2), &tokens(1, 10, 3, 120), after(120)).await.unwrap(), Rotation::Rotated);
    assert_eq!(accounts.refresh_owner(hash(1)).await.unwrap(), Some((buyer, id(10))), "a spent one is known");
    assert_eq!(accounts.session_of(id(1003)).await.unwrap(), Some(id(10)));
    assert_eq!(accounts.session_of(id(4711)).await.unwrap(), None);

    assert_eq!(accounts.rotate(hash(1), &tokens(1, 10, 4, 180), after(180)).await.unwrap(), Rotation::Reused);
    assert_eq!(accounts.rotate(hash(3), &tokens(1, 10, 5, 181), after(181)).await.unwrap(), Rotation::Unknown);
    assert_eq!(accounts.rotate(hash(1), &tokens(1, 10, 5, 182), after(182)).await.unwrap(), Rotation::Reused);
    for unused in [4, 5] {
        assert_eq!(accounts.refresh_owner(hash(unused)).await.unwrap(), None, "nothing was handed out");
    }
    assert_eq!(accounts.revocations(after(183)).await.unwrap(), [], "access tokens live on");
    assert_eq!(accounts.rotate(hash(9), &tokens(1, 20, 6, 184), after(184)).await.unwrap(), Rotation::Rotated);
    assert_eq!(
        accounts.rotate(hash(6), &tokens(1, 10, 7, 185), after(185)).await.unwrap(),
        Rotation::Unknown,
        "foreign"
    );
}

pub(super) async fn of_two_refreshes_at_once_one_is_a_reuse(accounts: Arc<impl Accounts>, _: &impl Catalogue) {
    accounts.create(&account(1, "a@example.com"), MAIL, None).await.unwrap();
    accounts.open_session(&tokens(1, 10, 1, 0), HOME, NOON).await.unwrap();
    let refresh = |number| {
        let accounts = accounts.clone();
        tokio::spawn(async move { accounts.rotate(hash(1), &tokens(1, 10, number, 60), after(60)).await.unwrap() })
    };
    let (first, second) = (refresh(2), refresh(3));
    let outcomes = [first.await.unwrap(), second.await.unwrap()];
    assert!(outcomes.contains(&Rotation::Rotated) && outcomes.contains(&Rotation::Reused), "{outcomes:?}");
    for number in [2, 3] {
        let rotation = accounts.rotate(hash(number), &tokens(1, 10, 4, 120), after(120)).await.unwrap();
        assert_eq!(rotation, Rotation::Unknown, "the family has ended");
    }
}

pub(super) async fn refresh_tokens_end_in_time_with_their_session_and_with_their_account(
    accounts: Arc<impl Accounts>,
    _: &impl Catalogue,
) {
    accounts.create(&account(1, "a@example.com"), MAIL, None).await.unwrap();
    accounts.open_session(&tokens(1, 10, 1, 0), HOME, NOON).await.unwrap();
    let just_before = accounts.rotate(hash(1), &tokens(1, 10, 2, 14 * DAY - 1), after(14 * DAY - 1)).await.unwrap();
    assert_eq!(just_before, Rotation::Rotated);
    let too_late = accounts.rotate(hash(1), &tokens(1, 10, 3, 14 * DAY), after(14 * DAY)).await.unwrap();
    assert_eq!(too_late, Rotation::Unknown, "spent, but expired since");
    accounts.open_session(&tokens(1, 20, 4, 14 * DAY), HOME, after(14 * DAY)).await.unwrap();
    accounts.delete(BuyerId(id(1)), MAIL, after(15 * DAY)).await.unwrap();
    for (number, family) in [(2, 10), (4, 20)] {
        let rotation = accounts.rotate(hash(number), &tokens(1, family, 5, 15 * DAY), after(15 * DAY)).await.unwrap();
        assert_eq!(rotation, Rotation::Unknown);
    }
}

pub(super) async fn a_new_password_ends_every_other_session(accounts: Arc<impl Accounts>, _: &impl Catalogue) {
    for buyer in [1, 2] {
        accounts.create(&account(buyer, &format!("{buyer}@example.com")), MAIL, None).await.unwrap();
    }
    let buyer = BuyerId(id(1));
    accounts.open_session(&tokens(1, 10, 1, 0), HOME, NOON).await.unwrap();
    accounts.open_session(&tokens(1, 20, 2, 0), HOME, NOON).await.unwrap();
    accounts.rotate(hash(2), &tokens(1, 20, 3, 60), after(60)).await.unwrap();
    accounts.open_session(&tokens(1, 30, 4, -2 * HOUR), HOME, after(-2 * HOUR)).await.unwrap();
    accounts.open_session(&tokens(2, 40, 5, 0), HOME, NOON).await.unwrap();

    let ended = accounts.set_password(buyer, "$argon2id$v=19$second", Some(id(10)), after(120)).await.unwrap();
    assert_eq!(by_token(ended.clone()), [revocation(2, 0), revocation(3, 60)], "the fourth had ended by itself");
    assert_eq!(by_token(accounts.revocations(after(120)).await.unwrap()), by_token(ended));
    assert_eq!(accounts.by_id(buyer).await.unwrap().unwrap().password_hash, "$argon2id$v=19$second");
    for (spent, family, rotation) in
        [(1, 10, Rotation::Rotated), (3, 20, Rotation::Unknown), (4, 30, Rotation::Unknown)]
    {
        let next = tokens(1, family, 10 + spent, 180);
        assert_eq!(accounts.rotate(hash(spent), &next, after(180)).await.unwrap(), rotation);
    }
    assert_eq!(accounts.rotate(hash(5), &tokens(2, 40, 20, 180), after(180)).await.unwrap(), Rotation::Rotated);

    let ended = accounts.set_password(buyer, "$argon2id$v=19$third", None, after(240)).await.unwrap();
    assert!(ended.contains(&revocation(1, 0)) && ended.contains(&revocation(11, 180)), "{ended:?}");
}

pub(super) async fn logging_out_revokes_the_token_and_ends_its_family(
    accounts: Arc<impl Accounts>,
    _: &impl Catalogue,
) {
    accounts.create(&account(1, "a@example.com"), MAIL, None).await.unwrap();
    accounts.open_session(&tokens(1, 10, 1, 0), HOME, NOON).await.unwrap();
    accounts.open_session(&tokens(1, 20, 2, 0), HOME, NOON).await.unwrap();
    accounts.log_out(revocation(1, 0), after(60)).await.unwrap();
    accounts.log_out(revocation(1, 0), after(61)).await.unwrap();
    assert_eq!(accounts.revocations(after(62)).await.unwrap(), [revocation(1, 0)]);
    assert_eq!(accounts.rotate(hash(1), &tokens(1, 10, 3, 62), after(62)).await.unwrap(), Rotation::Unknown);
    assert_eq!(accounts.rotate(hash(2), &tokens(1, 20, 4, 62), after(62)).await.unwrap(), Rotation::Rotated);
    // A token that was minted elsewhere has no session, and is revoked all the same.
    accounts.log_out(revocation(200, 0), after(63)).await.unwrap();
    assert_eq!(accounts.revocations(after(64)).await.unwrap().len(), 2);
}

pub(super) async fn revocations_matter_until_the_token_would_have_ended(
    accounts: Arc<impl Accounts>,
    _: &impl Catalogue,
) {
    accounts.log_out(revocation(1, 0), NOON).await.unwrap();
    accounts.log_out(revocation(2, 60), NOON).await.unwrap();
    assert_eq!(by_token(accounts.revocations(NOON).await.unwrap()), [revocation(1, 0), revocation(2, 60)]);
    assert_eq!(accounts.revocations(after(HOUR)).await.unwrap(), [revocation(2, 60)]);
    assert_eq!(accounts.revocations(after(HOUR + 60)).await.unwrap(), []);
}
