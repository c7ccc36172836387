//! Hashing of passwords (argon2id, default parameters: 19 MiB and tens of milliseconds each) on a few threads of its
//! own behind a bounded queue, so that a wave of log-ins cannot take the processors from the sale.

use crate::http::Problem;
use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use crossbeam::channel::{Receiver, Sender, TrySendError, bounded};
use secrecy::{ExposeSecret, SecretString};
use std::io;
use tokio::sync::oneshot;

/// Bounds of the hashing.
#[derive(Clone, Copy, Debug)]
pub struct PasswordLimits {
    /// Threads; each is busy for the whole of a hash.
    pub threads: usize,
    /// Passwords that may wait; beyond them the answer is 503.
    pub queue: usize,
}

/// The threads that hash. They end when this is dropped.
pub struct Passwords {
    jobs: Sender<Job>,
    /// The hash of a password that nobody has: compared with where there is no account, so that it takes as long.
    nobody: String,
}

struct Job {
    password: SecretString,
    task: Task,
}

enum Task {
    Hash(oneshot::Sender<Result<String, String>>),
    Verify { hash: String, reply: oneshot::Sender<bool> },
}

impl Passwords {
    /// Starts the threads.
    ///
    /// # Errors
    /// A thread could not be started, or nothing can be hashed.
    pub fn start(limits: PasswordLimits) -> io::Result<Self> {
        let (jobs, taken) = bounded::<Job>(limits.queue.max(1));
        for number in 0..limits.threads.max(1) {
            let taken = taken.clone();
            std::thread::Builder::new().name(format!("onsale-hash-{number}")).spawn(move || run(&taken))?;
        }
        let nobody = hashed(&uuid::Uuid::new_v4().to_string()).map_err(io::Error::other)?;
        Ok(Self { jobs, nobody })
    }

    /// The PHC string of a password.
    ///
    /// # Errors
    /// 503 when too many wait.
    pub async fn hash(&self, password: SecretString) -> Result<String, Problem> {
        let (reply, answer) = oneshot::channel();
        self.put(Job { password, task: Task::Hash(reply) })?;
        let hash = answer.await.map_err(|_| Problem::internal().because("a hashing thread ended"))?;
        hash.map_err(|error| Problem::internal().because(error))
    }

    /// Whether a password has this PHC string. `None` takes as long, and is never right.
    ///
    /// # Errors
    /// 503 when too many wait.
    pub async fn verify(&self, password: SecretString, hash: Option<&str>) -> Result<bool, Problem> {
        let (reply, answer) = oneshot::channel();
        let known = hash.is_some();
        let hash = hash.unwrap_or(&self.nobody).to_owned();
        self.put(Job { password, task: Task::Verify { hash, reply } })?;
        let fits = answer.await.map_err(|_| Problem::internal().because("a hashing thread ended"))?;
        Ok(fits && known)
    }

    fn put(&self, job: Job) -> Result<(), Problem> {
        self.jobs.try_send(job).map_err(|refused| match refused {
            TrySendError::Full(_) => Problem::overloaded(),
            TrySendError::Disconnected(_) => Problem::internal().because("no hashing thread is left"),
        })
    }
}

fn run(jobs: &Receiver<Job>) {
    while let Ok(Job { password, task }) = jobs.recv() {
        match task {
            // Whoever has gone meanwhile is not hashed for.
            Task::Hash(reply) if !reply.is_closed() => {
                let _ = reply.send(hashed(password.expose_secret()));
            }
            Task::Verify { hash, reply } if !reply.is_closed() => {
                let _ = reply.send(fits(password.expose_secret(), &hash));
            }
            Task::Hash(_) | Task::Verify { .. } => {}
        }
    }
}

fn hashed(password: &str) -> Result<String, String> {
    let hash = Argon2::default().hash_password(password.as_bytes()).map_err(|error| error.to_string())?;
    Ok(hash.to_string())
}

fn fits(password: &str, hash: &str) -> bool {
    let Ok(parsed) = PasswordHash::new(hash) else { return false };
    Argon2::default().verify_password(password.as_bytes(), &parsed).is_ok()
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
        let hash = passwords.hash(secret("correct horse")).await.unwrap();
        assert!(hash.starts_with("$argon2id$v=19$"), "{hash}");
        assert!(passwords.verify(secret("correct horse"), Some(&hash)).await.unwrap());
        assert!(!passwords.verify(secret("wrong horse"), Some(&hash)).await.unwrap());
        assert!(!passwords.verify(secret("correct horse"), None).await.unwrap());
        assert!(!passwords.verify(secret("correct horse"), Some("nonsense")).await.unwrap());
    }

    #[tokio::test]
    async fn beyond_the_queue_the_answer_is_overloaded() {
        let (jobs, _kept) = bounded(1);
        let passwords = Passwords { jobs, nobody: String::new() };
        let waiting = passwords.verify(secret("a"), None);
        let mut waiting = std::pin::pin!(waiting);
        let pending = std::future::poll_fn(|cx| std::task::Poll::Ready(waiting.as_mut().poll(cx).is_pending())).await;
        assert!(pending);
        assert_eq!(passwords.verify(secret("b"), None).await.unwrap_err().code(), "OVERLOADED");
    }
}
