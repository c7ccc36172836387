//! Accounts and sessions in memory. Decides as the real ones do; only durability is missing.

use crate::fakes::catalogue::FakeCatalogue;
use crate::id::BuyerId;
use crate::ports::accounts::{Account, Accounts, CreateAccountError, IssuedTokens, Revocation, Rotation};
use crate::ports::{Later, StoreError, StoredAnswer};
use crate::time::Timestamp;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use uuid::Uuid;

/// Accounts in memory; clones share them. Answers for idempotency keys lie with a [`FakeCatalogue`], which recalls
/// them.
#[derive(Clone, Default)]
pub struct FakeAccounts {
    tables: Arc<Mutex<Tables>>,
    answers: FakeCatalogue,
}

#[derive(Default)]
struct Tables {
    accounts: Vec<(Account, bool)>,
    sessions: BTreeMap<Uuid, Session>,
    refresh_tokens: BTreeMap<[u8; 32], RefreshToken>,
    access_tokens: BTreeMap<Uuid, (Uuid, Timestamp)>,
    revocations: BTreeMap<Uuid, Timestamp>,
}

struct Session {
    buyer: BuyerId,
    ended: bool,
}

struct RefreshToken {
    family: Uuid,
    expires_at: Timestamp,
    spent: bool,
}

impl FakeAccounts {
    /// No accounts yet, beside that catalogue.
    #[must_use]
    pub fn beside(catalogue: &FakeCatalogue) -> Self {
        Self { tables: Arc::default(), answers: catalogue.clone() }
    }
}

impl Tables {
    fn account(&mut self, is: impl Fn(&Account) -> bool) -> Option<&mut (Account, bool)> {
        self.accounts.iter_mut().find(|(account, deleted)| !deleted && is(account))
    }

    fn keep_tokens(&mut self, tokens: &IssuedTokens) {
        let (family, expires_at) = (tokens.family, tokens.refresh_expires_at);
        self.refresh_tokens.insert(tokens.refresh_hash, RefreshToken { family, expires_at, spent: false });
        self.access_tokens.insert(tokens.access_id, (family, tokens.access_expires_at));
    }

    fn end(&mut self, family: Uuid) {
        self.sessions.entry(family).and_modify(|session| session.ended = true);
    }

    fn end_all(&mut self, buyer: BuyerId, keep: Option<Uuid>, now: Timestamp) -> Vec<Revocation> {
        let ending = |session: &Session, family| session.buyer == buyer && Some(family) != keep;
        let revocations: Vec<_> = self
            .access_tokens
            .iter()
            .filter(|(_, (family, until))| *until > now && ending(&self.sessions[family], *family))
            .map(|(access_id, (_, until))| Revocation { access_id: *access_id, until: *until })
            .collect();
        self.revocations.extend(revocations.iter().map(|revocation| (revocation.access_id, revocation.until)));
        self.sessions.iter_mut().for_each(|(family, session)| session.ended |= ending(session, *family));
        revocations
    }

    fn rotate(&mut self, spent: [u8; 32], next: &IssuedTokens, now: Timestamp) -> Rotation {
        let Some(token) = self.refresh_tokens.get(&spent) else { return Rotation::Unknown };
        let (family, was_spent, is_expired) = (token.family, token.spent, token.expires_at <= now);
        let Session { buyer, ended } = self.sessions[&family];
        let is_ours = (family, buyer) == (next.family, next.buyer);
        if is_expired || !is_ours || self.account(|account| account.id == buyer).is_none() {
            return Rotation::Unknown;
        }
        if was_spent {
            self.end(family);
            return Rotation::Reused;
        }
        if ended {
            return Rotation::Unknown;
        }
        self.refresh_tokens.entry(spent).and_modify(|token| token.spent = true);
        self.keep_tokens(next);
        Rotation::Rotated
    }
}

impl Accounts for FakeAccounts {
    fn create<'a>(
        &'a self,
        account: &'a Account,
        answer: Option<&'a StoredAnswer>,
    ) -> Later<'a, Result<(), CreateAccountError>> {
        Box::pin(async move {
            let mut tables = self.tables.lock();
            let key = account.email.trim().to_lowercase();
            if tables.account(|other| other.email.trim().to_lowercase() == key).is_some() {
                return Err(CreateAccountError::EmailTaken);
            }
            self.answers.remember(answer)?;
            tables.accounts.push((account.clone(), false));
            Ok(())
        })
    }

    fn by_email<'a>(&'a self, email: &'a str) -> Later<'a, Result<Option<Account>, StoreError>> {
        Box::pin(async move {
            let key = email.trim().to_lowercase();
            let mut tables = self.tables.lock();
            Ok(tables.account(|account| account.email.trim().to_lowercase() == key).map(|(account, _)| account.clone()))
        })
    }

    fn by_id(&self, id: BuyerId) -> Later<'_, Result<Option<Account>, StoreError>> {
        Box::pin(async move {
            Ok(self.tables.lock().account(|account| account.id == id).map(|(account, _)| account.clone()))
        })
    }

    fn update<'a>(&'a self, id: BuyerId, name: &'a str, phone: Option<&'a str>) -> Later<'a, Result<bool, StoreError>> {
        Box::pin(async move {
            let mut tables = self.tables.lock();
            let Some((account, _)) = tables.account(|account| account.id == id) else { return Ok(false) };
            account.name = name.to_owned();
            account.phone = phone.map(str::to_owned);
            Ok(true)
        })
    }

    fn set_password<'a>(
        &'a self,
        id: BuyerId,
        password_hash: &'a str,
        keep: Option<Uuid>,
        now: Timestamp,
    ) -> Later<'a, Result<Vec<Revocation>, StoreError>> {
        Box::pin(async move {
            let mut tables = self.tables.lock();
            let Some((account, _)) = tables.account(|account| account.id == id) else { return Ok(Vec::new()) };
            account.password_hash = password_hash.to_owned();
            Ok(tables.end_all(id, keep, now))
        })
    }

    fn delete(&self, id: BuyerId, now: Timestamp) -> Later<'_, Result<Vec<Revocation>, StoreError>> {
        Box::pin(async move {
            let mut tables = self.tables.lock();
            if let Some((_, deleted)) = tables.account(|account| account.id == id) {
                *deleted = true;
            }
            Ok(tables.end_all(id, None, now))
        })
    }

    fn open_session<'a>(&'a self, tokens: &'a IssuedTokens, _now: Timestamp) -> Later<'a, Result<(), StoreError>> {
        Box::pin(async move {
            let mut tables = self.tables.lock();
            tables.sessions.insert(tokens.family, Session { buyer: tokens.buyer, ended: false });
            tables.keep_tokens(tokens);
            Ok(())
        })
    }

    fn refresh_owner(&self, refresh_hash: [u8; 32]) -> Later<'_, Result<Option<(BuyerId, Uuid)>, StoreError>> {
        Box::pin(async move {
            let tables = self.tables.lock();
            let family = tables.refresh_tokens.get(&refresh_hash).map(|token| token.family);
            Ok(family.map(|family| (tables.sessions[&family].buyer, family)))
        })
    }

    fn rotate<'a>(
        &'a self,
        spent: [u8; 32],
        next: &'a IssuedTokens,
        now: Timestamp,
    ) -> Later<'a, Result<Rotation, StoreError>> {
        Box::pin(async move { Ok(self.tables.lock().rotate(spent, next, now)) })
    }

    fn session_of(&self, access_id: Uuid) -> Later<'_, Result<Option<Uuid>, StoreError>> {
        Box::pin(async move { Ok(self.tables.lock().access_tokens.get(&access_id).map(|(family, _)| *family)) })
    }

    fn log_out(&self, revocation: Revocation, _now: Timestamp) -> Later<'_, Result<(), StoreError>> {
        Box::pin(async move {
            let mut tables = self.tables.lock();
            if let Some((family, _)) = tables.access_tokens.get(&revocation.access_id).copied() {
                tables.end(family);
            }
            tables.revocations.insert(revocation.access_id, revocation.until);
            Ok(())
        })
    }

    fn revocations(&self, now: Timestamp) -> Later<'_, Result<Vec<Revocation>, StoreError>> {
        Box::pin(async move {
            let tables = self.tables.lock();
            let living = tables.revocations.iter().filter(|(_, until)| **until > now);
            Ok(living.map(|(access_id, until)| Revocation { access_id: *access_id, until: *until }).collect())
        })
    }
}
