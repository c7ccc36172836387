//! Accounts over HTTP: signing up, logging in and out, refreshing, and one's own account. Must never keep or log a
//! clear password or a token, and never tell by time or words whether an address has an account (but at signup).

mod form;
mod me;
mod passwords;
mod sessions;

pub use form::is_email;
pub use passwords::{PasswordLimits, Passwords};

use crate::http::{AUTH_BODY_LIMIT, Context, Mistakes, Object, Problem, Request, Response, Route};
use crate::idempotency::{Created, idempotent};
use crate::limits::{Family, Who};
use onsale_engine::id::BuyerId;
use onsale_engine::ports::accounts::{Account, CreateAccountError, Role};
use secrecy::SecretString;
use serde::Serialize;
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// Characters of a new password.
const PASSWORD_CHARS: std::ops::RangeInclusive<usize> = 8..=128;
/// Characters of a password that is only compared.
const COMPARED_PASSWORD_CHARS: std::ops::RangeInclusive<usize> = 1..=128;
/// Characters of a name.
const NAME_CHARS: std::ops::RangeInclusive<usize> = 1..=100;
/// Characters of a captcha's answer, which this build takes and does not look at.
const CAPTCHA_CHARS: std::ops::RangeInclusive<usize> = 0..=4096;

/// The routes of this family.
#[must_use]
pub fn routes() -> Vec<Route> {
    vec![
        Route::post("/api/v1/auth/signup", signup).public().body_limit(AUTH_BODY_LIMIT).keyed().limited(Family::Signup),
        Route::post("/api/v1/auth/login", sessions::login).public().body_limit(AUTH_BODY_LIMIT).limited(Family::Login),
        Route::post("/api/v1/auth/refresh", sessions::refresh)
            .public()
            .body_limit(AUTH_BODY_LIMIT)
            .limited(Family::Refresh),
        Route::post("/api/v1/auth/logout", sessions::logout).body_limit(AUTH_BODY_LIMIT).limited(Family::Account),
        Route::get("/api/v1/users/me", me::read).limited(Family::Read),
        Route::patch("/api/v1/users/me", me::change).limited(Family::Account),
        Route::delete("/api/v1/users/me", me::delete).limited(Family::Account),
        Route::put("/api/v1/users/me/password", me::change_password).limited(Family::Account),
    ]
}

#[derive(Serialize)]
struct SignedUpJson<'a> {
    id: String,
    email: &'a str,
    name: &'a str,
}

async fn signup(ctx: Context, mut request: Request) -> Result<Response, Problem> {
    let json = request.json().await?;
    let mut mistakes = Mistakes::default();
    let body = Object::root(&json.value, &mut mistakes);
    let email = form::email(&body, &mut mistakes);
    let password = body.text(&mut mistakes, "password", PASSWORD_CHARS);
    let name = body.text(&mut mistakes, "name", NAME_CHARS);
    let phone = form::phone(&body, &mut mistakes);
    body.optional_text(&mut mistakes, "captchaToken", CAPTCHA_CHARS);
    mistakes.check()?;
    let (Some(email), Some(password), Some(name)) = (email, password, name) else { return Err(mistakes.refuse()) };

    let key = ctx.request_key(&request, &json.bytes)?;
    let password = SecretString::from(password);
    let mut account = Account {
        id: BuyerId(Uuid::now_v7()),
        email: email.to_owned(),
        name: name.to_owned(),
        phone: phone.map(str::to_owned),
        role: Role::User,
        password_hash: String::new(),
        created_at: ctx.now(),
    };
    idempotent(ctx, key, move |ctx| async move {
        // Spares a hash; whether it is taken is decided when the account is made.
        if ctx.app.accounts.by_email(&account.email).await?.is_some() {
            return Err(email_taken());
        }
        account.password_hash = ctx.app.passwords.hash(password).await?;
        let told = SignedUpJson { id: account.id.to_string(), email: &account.email, name: &account.name };
        let created = Created::new(Some("/api/v1/users/me".into()), &told)?;
        let stored = created.stored(key, ctx.now());
        match ctx.app.accounts.create(&account, stored.as_ref()).await {
            Ok(()) => Ok(created),
            Err(CreateAccountError::EmailTaken) => Err(email_taken()),
            Err(CreateAccountError::Store(error)) => Err(error.into()),
        }
    })
    .await
}

/// Whether this is the account's password; without an account it never is. An account that was guessed at too often is
/// refused whatever the password, also when its guesses came all at once; right ones never count.
async fn compare(
    ctx: &Context,
    password: SecretString,
    account: Option<&Account>,
    guessed: Who,
) -> Result<bool, Problem> {
    let limits = &ctx.app.limits;
    limits.may_compare(guessed)?;
    let hash = account.map(|account| account.password_hash.as_str());
    let fits = ctx.app.passwords.verify(password, hash).await?;
    if fits {
        limits.may_compare(guessed)?;
    } else {
        limits.was_wrong(guessed).await?;
    }
    Ok(fits)
}

/// As whom guesses at an account count. An address without one counts alike, so that it cannot be told apart.
fn guessed(account: Option<&Account>, email: &str) -> Who {
    let address = || {
        let hash: [u8; 32] = Sha256::digest(email.trim().to_lowercase().as_bytes()).into();
        let (half, _) = hash.split_at(size_of::<Who>());
        half.iter().fold(0, |who, byte| who << 8 | Who::from(*byte))
    };
    account.map_or_else(address, |account| account.id.0.as_u128())
}

fn email_taken() -> Problem {
    Problem::conflict("EMAIL_TAKEN", "an account has this e-mail address")
}

fn invalid_credentials() -> Problem {
    Problem::new(http::StatusCode::UNAUTHORIZED, "INVALID_CREDENTIALS", "e-mail address or password is wrong")
}
