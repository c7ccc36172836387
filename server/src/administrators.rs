//! `onsale admin`: administrators without a server, straight in the configured storage. On a data directory no server may work
//! on it meanwhile; beside Postgres one may. Must never print, log or take a password as an argument: others read arguments.

use crate::accounts::{PasswordLimits, Passwords, UNNAMED, check_password, is_email};
use crate::auth::TokenSigner;
use crate::config::Config;
use crate::secret;
use crate::storage;
use crate::time::rfc3339;
use crate::wiring::{NOBODY, StartError};
use clap::{Args, Subcommand};
use onsale_adapters::clock::SystemClock;
use onsale_engine::email::email_key;
use onsale_engine::id::BuyerId;
use onsale_engine::ports::Clock;
use onsale_engine::ports::accounts::{Account, Accounts, CreateAccountError, Disabled, Role};
use onsale_engine::text::composed;
use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
use secrecy::{ExposeSecret, SecretString};
use std::io::{self, BufRead, IsTerminal, Write};
use uuid::Uuid;

/// What is done with administrators.
#[derive(Debug, Args)]
pub struct AdminArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Add an administrator. The password is the first line of standard input; a terminal prompts for it without echo.
    Add {
        /// E-mail address to log in with.
        email: String,
        /// Name of the account.
        #[arg(long, value_name = "NAME", default_value = UNNAMED)]
        name: String,
    },
    /// List all administrators: id, e-mail address, name, when added, and when disabled.
    List,
    /// Disable an administrator: no log-in succeeds any more and all sessions end. Access tokens that a running server knows remain
    /// valid for up to an hour; `PATCH /api/v1/admin/users/{id}` ends them at once.
    Disable {
        /// E-mail address of the account.
        email: String,
    },
    /// Enable a disabled administrator again.
    Enable {
        /// E-mail address of the account.
        email: String,
    },
}

/// Why it was not done.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// What was given is no address, or no good password.
    #[error("{0}")]
    Mistake(String),
    /// The storage could not be used.
    #[error(transparent)]
    Storage(#[from] StartError),
    /// Standard input or output failed.
    #[error("standard input or output: {0}")]
    Io(#[from] io::Error),
}

/// Does what is asked.
///
/// # Errors
/// See [`AdminError`].
pub async fn run(args: AdminArgs, config: &Config) -> Result<(), AdminError> {
    let accounts = storage::accounts(config).await?;
    match args.action {
        Action::Add { email, name } => add(&*accounts, config, email, name).await,
        Action::List => list(&*accounts).await,
        Action::Disable { email } => set_disabled(&*accounts, &email, true).await,
        Action::Enable { email } => set_disabled(&*accounts, &email, false).await,
    }
}

async fn add(accounts: &dyn Accounts, config: &Config, email: String, name: String) -> Result<(), AdminError> {
    let [email, name] = [email, name].map(|text| composed(&text).into_owned());
    if !is_email(&email) {
        return Err(AdminError::Mistake(format!("{email:?} is no e-mail address")));
    }
    let taken = || AdminError::Mistake("an account has this e-mail address".to_owned());
    if accounts.by_email(&email).await.map_err(StartError::from)?.is_some() {
        return Err(taken());
    }
    let password = tokio::task::spawn_blocking(read_password).await.map_err(io::Error::other)??;
    check_password(password.expose_secret(), Role::Admin, &email, &name)
        .map_err(|mistake| AdminError::Mistake(format!("the password must be: {mistake}")))?;
    let hashing = Passwords::start(PasswordLimits { threads: 1, queue: 1 })?;
    let hash = hashing.hash(NOBODY, password).await;
    let password_hash = hash.map_err(|problem| AdminError::Mistake(problem.detail().to_owned()))?;
    let secret = secret::of(&config.auth, &config.storage.path)?;
    let account = Account {
        id: BuyerId(Uuid::now_v7()),
        email,
        name,
        phone: None,
        role: Role::Admin,
        password_hash,
        created_at: SystemClock::start().now(),
        disabled_at: None,
    };
    let email_hash = TokenSigner::new(&secret).email_hash(&email_key(&account.email));
    match accounts.create(&account, email_hash, None).await {
        Ok(_) => {}
        Err(CreateAccountError::EmailTaken) => return Err(taken()),
        Err(CreateAccountError::Store(error)) => return Err(StartError::from(error).into()),
    }
    writeln!(io::stdout(), "{} is an administrator: {}", account.email, account.id)?;
    Ok(())
}

async fn list(accounts: &dyn Accounts) -> Result<(), AdminError> {
    let mut out = io::stdout().lock();
    for account in accounts.administrators().await.map_err(StartError::from)? {
        let Account { id, email, name, created_at, disabled_at, .. } = account;
        let state = disabled_at.map_or("enabled".to_owned(), |at| format!("disabled {}", rfc3339(at)));
        writeln!(out, "{id}\t{email}\t{name}\tmade {}\t{state}", rfc3339(created_at))?;
    }
    Ok(())
}

async fn set_disabled(accounts: &dyn Accounts, email: &str, disabled: bool) -> Result<(), AdminError> {
    let found = accounts.by_email(email).await.map_err(StartError::from)?;
    let nobody = || AdminError::Mistake(format!("no administrator has the address {email:?}"));
    let account = found.filter(|account| account.role == Role::Admin).ok_or_else(nobody)?;
    let now = SystemClock::start().now();
    let said = if disabled {
        match accounts.disable(account.id, false, now).await.map_err(StartError::from)? {
            Disabled::Done(ended) => format!("disabled; {} access tokens revoked", ended.len()),
            Disabled::Last | Disabled::Unknown => return Err(nobody()),
        }
    } else if accounts.enable(account.id).await.map_err(StartError::from)? {
        "enabled".to_owned()
    } else {
        return Err(nobody());
    };
    writeln!(io::stdout(), "{} is {said}", account.email)?;
    Ok(())
}

/// The first line of standard input.
fn read_password() -> io::Result<SecretString> {
    let stdin = io::stdin();
    let _shown_again = if stdin.is_terminal() { Some(Hidden::begin("Password: ")?) } else { None };
    let mut line = String::new();
    stdin.lock().read_line(&mut line)?;
    Ok(SecretString::from(line.trim_end_matches(['\n', '\r'])))
}

/// A terminal that does not show what is typed, until this is dropped.
struct Hidden(rustix::termios::Termios);

impl Hidden {
    fn begin(prompt: &str) -> io::Result<Self> {
        let mut out = io::stderr();
        out.write_all(prompt.as_bytes())?;
        out.flush()?;
        let shown = tcgetattr(io::stdin())?;
        let mut hidden = shown.clone();
        hidden.local_modes -= LocalModes::ECHO;
        tcsetattr(io::stdin(), OptionalActions::Now, &hidden)?;
        Ok(Self(shown))
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        // Where it cannot be brought back there is nobody to report it to but the one who types.
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.0);
        let _ = io::stderr().write_all(b"\n");
    }
}
