//! Hashing of passwords (argon2id, default parameters: 19 MiB and tens of milliseconds each) on a few threads of its
//! own behind a bounded queue that is fair between addresses, so that a wave of log-ins cannot take the processors from the
//! sale, nor delay the log-ins of other addresses.

use crate::accounts::fair_queue::{FairQueue, Put};
use crate::http::Problem;
use crate::limits::Who;
use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use onsale_engine::email::composed;
use onsale_engine::runtime::supervised;
use onsale_engine::text::decomposed;
use onsale_engine::trace::Scope;
use secrecy::{ExposeSecret, SecretString};
use std::borrow::Cow;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use tokio::sync::oneshot;

/// Bounds of the hashing.
#[derive(Clone, Copy, Debug)]
pub struct PasswordLimits {
    /// Threads; each is busy for the whole of a hash.
    pub threads: usize,
    /// Passwords that may wait; beyond them the answer is 503, first to the address with the most waiting.
    pub queue: usize,
}

/// The threads that hash. They end when this is dropped.
pub struct Passwords {
    /// Each with the request that waits for it.
    jobs: Arc<FairQueue<(Scope, Job)>>,
    /// The hash of a password that nobody has: compared with where there is no account, so that it takes as long.
    nobody: String,
}

/// Whether a password is the one that was hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fit {
    /// It is, in NFC.
    Composed,
    /// It is, in another form: it was hashed before passwords were composed, and is to be hashed again.
    AsItCame,
    /// It is not.
    Wrong,
}

enum Job {
    Hash { password: SecretString, reply: Reply<Result<String, String>> },
    Verify { password: SecretString, hash: String, reply: Reply<Fit> },
}

/// `None` is for who had to give way.
type Reply<T> = oneshot::Sender<Option<T>>;

impl Job {
    fn give_way(self) {
        match self {
            Self::Hash { reply, .. } => drop(reply.send(None)),
            Self::Verify { reply, .. } => drop(reply.send(None)),
        }
    }

    fn run(self) {
        match self {
            // Nothing is hashed for who has gone meanwhile.
            Self::Hash { password, reply } if !reply.is_closed() => {
                let _ = reply.send(Some(hashed(&composed(password.expose_secret()))));
            }
            Self::Verify { password, hash, reply } if !reply.is_closed() => {
                let _ = reply.send(Some(fit(password.expose_secret(), &hash)));
            }
            Self::Hash { .. } | Self::Verify { .. } => {}
        }
    }
}

impl Passwords {
    /// Starts the threads.
    ///
    /// # Errors
    /// A thread could not be started, or nothing can be hashed.
    pub fn start(limits: PasswordLimits) -> io::Result<Self> {
        let jobs = Arc::new(FairQueue::<(Scope, Job)>::new(limits.queue));
        let nobody = hashed(&uuid::Uuid::new_v4().to_string()).map_err(io::Error::other)?;
        let passwords = Self { jobs, nobody };
        for number in 0..limits.threads.max(1) {
            let jobs = Arc::clone(&passwords.jobs);
            let name = format!("onsale-hash-{number}");
            supervised(name, &crate::server::fatal(), move || {
                while let Some((scope, job)) = jobs.take() {
                    let _scope = scope.enter();
                    // One password that cannot be hashed must not keep everybody else from logging in.
                    if catch_unwind(AssertUnwindSafe(|| job.run())).is_err() {
                        tracing::error!("hashing a password panicked");
                    }
                }
            })?;
        }
        Ok(passwords)
    }

    /// The PHC string of a password in NFC, for somebody at this address.
    ///
    /// # Errors
    /// 503 when too many wait.
    pub async fn hash(&self, from: Who, password: SecretString) -> Result<String, Problem> {
        let (reply, answer) = oneshot::channel();
        let hash = self.ask(from, Job::Hash { password, reply }, answer).await?;
        hash.map_err(|error| Problem::internal().because(error))
    }

    /// Whether a password has this PHC string. `None` takes as long, and is never right.
    ///
    /// # Errors
    /// 503 when too many wait.
    pub async fn verify(&self, from: Who, password: SecretString, hash: Option<&str>) -> Result<Fit, Problem> {
        let (reply, answer) = oneshot::channel();
        let known = hash.is_some();
        let hash = hash.unwrap_or(&self.nobody).to_owned();
        let fit = self.ask(from, Job::Verify { password, hash, reply }, answer).await?;
        Ok(if known { fit } else { Fit::Wrong })
    }

    async fn ask<T>(&self, from: Who, job: Job, answer: oneshot::Receiver<Option<T>>) -> Result<T, Problem> {
        match self.jobs.put(from, (Scope::current(), job)) {
            Put::Waits => {}
            Put::InsteadOf((_, displaced)) => displaced.give_way(),
            Put::Full(_) => return Err(Problem::overloaded()),
        }
        let answered = answer.await.map_err(|_| Problem::internal().because("a hashing thread ended"))?;
        answered.ok_or_else(Problem::overloaded)
    }
}

impl Drop for Passwords {
    fn drop(&mut self) {
        self.jobs.close();
    }
}

fn hashed(password: &str) -> Result<String, String> {
    let hash = Argon2::default().hash_password(password.as_bytes()).map_err(|error| error.to_string())?;
    Ok(hash.to_string())
}

/// Both forms are compared only where they differ, which is rare; how many says nothing of the account.
fn fit(password: &str, hash: &str) -> Fit {
    let Ok(parsed) = PasswordHash::new(hash) else { return Fit::Wrong };
    let is = |text: &str| Argon2::default().verify_password(text.as_bytes(), &parsed).is_ok();
    let nfc = composed(password);
    if is(&nfc) {
        Fit::Composed
    } else if other_forms(password, &nfc).any(|form| is(&form)) {
        Fit::AsItCame
    } else {
        Fit::Wrong
    }
}

/// In which forms a password may have been hashed before passwords, and all other text, were composed on their way in: as it
/// comes, or taken apart, as some keyboards send it. None for nearly every password.
fn other_forms<'a>(password: &'a str, nfc: &'a str) -> impl Iterator<Item = Cow<'a, str>> {
    let (came, apart) = (Cow::Borrowed(password), decomposed(password));
    let apart = Some(apart).filter(|apart| *apart != came);
    [Some(came), apart].into_iter().flatten().filter(move |form| form != nfc)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may end on its first surprise")]
    use super::*;

    fn secret(text: &str) -> SecretString {
        SecretString::from(text)
    }

    #[tokio::test]
    async fn a_password_fits_its_own_hash_alone() {
        let passwords = Passwords::start(PasswordLimits { threads: 1, queue: 4 }).unwrap();
        let hash = passwords.hash(1, secret("correct horse")).await.unwrap();
        assert!(hash.starts_with("$argon2id$v=19$"), "{hash}");
        assert_eq!(passwords.verify(1, secret("correct horse"), Some(&hash)).await.unwrap(), Fit::Composed);
        assert_eq!(passwords.verify(1, secret("wrong horse"), Some(&hash)).await.unwrap(), Fit::Wrong);
        assert_eq!(passwords.verify(1, secret("correct horse"), None).await.unwrap(), Fit::Wrong);
        assert_eq!(passwords.verify(1, secret("correct horse"), Some("nonsense")).await.unwrap(), Fit::Wrong);
    }

    #[tokio::test]
    async fn composition_does_not_matter_and_what_was_hashed_in_another_form_is_known() {
        let passwords = Passwords::start(PasswordLimits { threads: 1, queue: 4 }).unwrap();
        let (nfc, nfd) = ("gr\u{fc}n wie gras", "gru\u{308}n wie gras");
        let hash = passwords.hash(1, secret(nfd)).await.unwrap();
        for form in [nfc, nfd] {
            assert_eq!(passwords.verify(1, secret(form), Some(&hash)).await.unwrap(), Fit::Composed);
        }
        let former = hashed(nfd).unwrap();
        assert_eq!(passwords.verify(1, secret(nfd), Some(&former)).await.unwrap(), Fit::AsItCame);
        // The way in composes it, so that it comes in another form than it was hashed in.
        assert_eq!(passwords.verify(1, secret(nfc), Some(&former)).await.unwrap(), Fit::AsItCame);
        assert_eq!(passwords.verify(1, secret("gr\u{fc}n wie grau"), Some(&former)).await.unwrap(), Fit::Wrong);
    }

    /// No thread hashes: everybody waits.
    fn idle(queue: usize) -> Passwords {
        Passwords { jobs: Arc::new(FairQueue::new(queue)), nobody: String::new() }
    }

    #[tokio::test]
    async fn beyond_the_queue_an_address_wave_is_shed_and_others_are_not() {
        let passwords = idle(2);
        let mut first = std::pin::pin!(passwords.verify(1, secret("a"), None));
        let mut second = std::pin::pin!(passwords.verify(1, secret("b"), None));
        assert!(futures_pending(first.as_mut()).await && futures_pending(second.as_mut()).await);
        assert_eq!(passwords.verify(1, secret("c"), None).await.unwrap_err().code(), "OVERLOADED");
        let mut other = std::pin::pin!(passwords.verify(2, secret("d"), None));
        assert!(futures_pending(other.as_mut()).await, "another address has a place");
        assert_eq!(second.await.unwrap_err().code(), "OVERLOADED", "the wave gave way");
        assert!(futures_pending(first.as_mut()).await);
    }

    async fn futures_pending<F: Future>(mut future: std::pin::Pin<&mut F>) -> bool {
        std::future::poll_fn(|cx| std::task::Poll::Ready(future.as_mut().poll(cx).is_pending())).await
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn one_log_in_of_another_address_is_second_behind_a_wave() {
        let passwords = Arc::new(Passwords::start(PasswordLimits { threads: 1, queue: 64 }).unwrap());
        let finished = Arc::new(parking_lot::Mutex::new(Vec::new()));
        let mut log_ins = tokio::task::JoinSet::new();
        for from in std::iter::repeat_n(1, 24).chain([2]) {
            let (passwords, finished) = (Arc::clone(&passwords), Arc::clone(&finished));
            let log_in = async move {
                passwords.verify(from, secret("a guess"), None).await.unwrap();
                finished.lock().push(from);
            };
            // In the queue before the next one is made.
            let mut log_in = Box::pin(log_in);
            assert!(futures_pending(log_in.as_mut()).await);
            log_ins.spawn(log_in);
        }
        log_ins.join_all().await;
        let at = finished.lock().iter().position(|from| *from == 2).unwrap();
        // Those that were hashed while the wave was put in, one in work, one before it.
        assert!(at < 12, "the other address was number {at} of 25");
    }
}
