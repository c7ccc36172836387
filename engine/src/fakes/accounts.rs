//! Accounts and sessions in memory. Decides as the real ones do; only durability is missing.

use crate::email::email_key;
use crate::fakes::catalogue::FakeCatalogue;
use crate::id::BuyerId;
use crate::ports::accounts::{
    Account, Accounts, AddressHash, CreateAccountError, Disabled, EmailHash, IssuedTokens, KNOWN_ADDRESSES, Revocation,
    Role, Rotation,
};
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
    email_hashes: BTreeMap<BuyerId, AddressHash>,
    /// The latest last.
    addresses: BTreeMap<BuyerId, Vec<AddressHash>>,
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

    /// Every living account with each deleted one of the same address.
    fn predecessors(&self) -> Vec<(BuyerId, BuyerId)> {
        let of = |is_deleted: bool| self.accounts.iter().filter(move |(_, deleted)| *deleted == is_deleted);
        let pairs = of(false).flat_map(|(heir, _)| of(true).map(move |(before, _)| (heir.id, before.id)));
        pairs.filter(|(heir, before)| self.email_hashes.get(heir) == self.email_hashes.get(before)).collect()
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
        email_hash: AddressHash,
        answer: Option<&'a StoredAnswer>,
    ) -> Later<'a, Result<Vec<BuyerId>, CreateAccountError>> {
        Box::pin(async move {
            let mut tables = self.tables.lock();
            let key = email_key(&account.email);
            if tables.account(|other| email_key(&other.email) == key).is_some() {
                return Err(CreateAccountError::EmailTaken);
            }
            self.answers.remember(answer)?;
            tables.accounts.push((account.clone(), false));
            tables.email_hashes.insert(account.id, email_hash);
            let all = tables.predecessors();
            Ok(all.into_iter().filter(|(heir, _)| *heir == account.id).map(|(_, before)| before).collect())
        })
    }

    fn by_email<'a>(&'a self, email: &'a str) -> Later<'a, Result<Option<Account>, StoreError>> {
        Box::pin(async move {
            let key = email_key(email);
            let mut tables = self.tables.lock();
            Ok(tables.account(|account| email_key(&account.email) == key).map(|(account, _)| account.clone()))
        })
    }

    fn by_id(&self, id: BuyerId) -> Later<'_, Result<Option<Account>, StoreError>> {
        Box::pin(async move {
            Ok(self.tables.lock().account(|account| account.id == id).map(|(account, _)| account.clone()))
        })
    }

    fn by_ids(&self, ids: Vec<BuyerId>) -> Later<'_, Result<Vec<Account>, StoreError>> {
        Box::pin(async move {
            let tables = self.tables.lock();
            let living = tables.accounts.iter().filter(|(account, deleted)| !deleted && ids.contains(&account.id));
            Ok(living.map(|(account, _)| account.clone()).collect())
        })
    }

    fn search<'a>(
        &'a self,
        text: &'a str,
        email_hash: AddressHash,
        limit: u32,
    ) -> Later<'a, Result<Vec<BuyerId>, StoreError>> {
        Box::pin(async move {
            let (key, name) = (email_key(text), text.to_ascii_lowercase());
            let tables = self.tables.lock();
            let exact = tables.accounts.iter().filter(|(account, deleted)| match deleted {
                true => tables.email_hashes.get(&account.id) == Some(&email_hash),
                false => email_key(&account.email) == key,
            });
            let begins = tables.accounts.iter().filter(|(account, deleted)| {
                let of_name = account.name.to_ascii_lowercase().starts_with(&name);
                !deleted && (of_name || email_key(&account.email).starts_with(&key))
            });
            let mut found: Vec<BuyerId> = Vec::new();
            for (account, _) in exact.chain(begins) {
                if !found.contains(&account.id) && found.len() < limit as usize {
                    found.push(account.id);
                }
            }
            Ok(found)
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

    fn rehash_password<'a>(&'a self, id: BuyerId, from: &'a str, to: &'a str) -> Later<'a, Result<bool, StoreError>> {
        Box::pin(async move {
            let mut tables = self.tables.lock();
            let found = tables.account(|account| account.id == id && account.password_hash == from);
            Ok(found.map(|(account, _)| to.clone_into(&mut account.password_hash)).is_some())
        })
    }

    fn delete(
        &self,
        id: BuyerId,
        email_hash: AddressHash,
        now: Timestamp,
    ) -> Later<'_, Result<Vec<Revocation>, StoreError>> {
        Box::pin(async move {
            let mut tables = self.tables.lock();
            if let Some((account, deleted)) = tables.account(|account| account.id == id) {
                *deleted = true;
                (account.email, account.name, account.phone, account.password_hash) = Default::default();
                tables.email_hashes.insert(id, email_hash);
                tables.addresses.remove(&id);
            }
            Ok(tables.end_all(id, None, now))
        })
    }

    fn administrators(&self) -> Later<'_, Result<Vec<Account>, StoreError>> {
        Box::pin(async move {
            let tables = self.tables.lock();
            let living = tables.accounts.iter().filter(|(account, deleted)| !deleted && account.role == Role::Admin);
            let mut found: Vec<Account> = living.map(|(account, _)| account.clone()).collect();
            found.sort_by_key(|account| (account.created_at, account.id));
            Ok(found)
        })
    }

    fn disable(&self, id: BuyerId, keep_one: bool, now: Timestamp) -> Later<'_, Result<Disabled, StoreError>> {
        Box::pin(async move {
            let mut tables = self.tables.lock();
            let is_enabled = |account: &Account| account.role == Role::Admin && account.disabled_at.is_none();
            let others = tables.account(|account| is_enabled(account) && account.id != id).is_some();
            let Some((account, _)) = tables.account(|account| account.id == id && account.role == Role::Admin) else {
                return Ok(Disabled::Unknown);
            };
            if keep_one && !others && is_enabled(account) {
                return Ok(Disabled::Last);
            }
            account.disabled_at = Some(account.disabled_at.unwrap_or(now));
            Ok(Disabled::Done(tables.end_all(id, None, now)))
        })
    }

    fn enable(&self, id: BuyerId) -> Later<'_, Result<bool, StoreError>> {
        Box::pin(async move {
            let mut tables = self.tables.lock();
            let account = tables.account(|account| account.id == id && account.role == Role::Admin);
            Ok(account.map(|(account, _)| account.disabled_at = None).is_some())
        })
    }

    fn predecessors(&self) -> Later<'_, Result<Vec<(BuyerId, BuyerId)>, StoreError>> {
        Box::pin(async move { Ok(self.tables.lock().predecessors()) })
    }

    fn bring_up_to_date(&self, _hash: EmailHash) -> Later<'_, Result<(), StoreError>> {
        // No older version has made any of these.
        Box::pin(async { Ok(()) })
    }

    fn knows_address(&self, id: BuyerId, address: AddressHash) -> Later<'_, Result<bool, StoreError>> {
        Box::pin(async move { Ok(self.tables.lock().addresses.get(&id).is_some_and(|known| known.contains(&address))) })
    }

    fn open_session<'a>(
        &'a self,
        tokens: &'a IssuedTokens,
        from: AddressHash,
        _now: Timestamp,
    ) -> Later<'a, Result<(), StoreError>> {
        Box::pin(async move {
            let mut tables = self.tables.lock();
            let known = tables.addresses.entry(tokens.buyer).or_default();
            known.retain(|address| *address != from);
            known.push(from);
            let over = known.len().saturating_sub(KNOWN_ADDRESSES as usize);
            known.drain(..over);
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
