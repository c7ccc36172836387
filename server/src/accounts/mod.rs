//! Accounts over HTTP: signing up, logging in and out, refreshing, and one's own account. Must never keep or log a
//! clear password or a token, and never reveal by time or words whether an address has an account (but at signup).

mod administrators;
mod altcha;
mod challenge;
mod fair_queue;
mod form;
mod guessing;
mod me;
mod password_rules;
mod passwords;
mod predecessors;
mod sessions;
mod tickets;

pub(crate) use administrators::{UNNAMED, routes as administrator_routes};
pub(crate) use altcha::Altcha;
pub use challenge::{Challenges, Effort};
pub use form::is_email;
pub use password_rules::check as check_password;
pub use passwords::{Fit, PasswordLimits, Passwords};
pub use predecessors::Predecessors;

use crate::http::{AUTH_BODY_LIMIT, Context, Mistakes, Object, Problem, Request, Response, Route};
use crate::idempotency::{Created, idempotent};
use crate::limits::Family;
use onsale_engine::email::email_key;
use onsale_engine::id::BuyerId;
use onsale_engine::ports::accounts::{Account, CreateAccountError, Role};
use onsale_engine::sale::RequestKey;
use secrecy::SecretString;
use serde::Serialize;
use uuid::Uuid;

/// Characters of a password in whatever form it comes; [`check_password`] counts those of a new one in NFC, where a letter
/// and its marks are one.
const PASSWORD_CHARS: std::ops::RangeInclusive<usize> = 1..=4 * password_rules::MAX_CHARS;
/// Characters of a name.
const NAME_CHARS: std::ops::RangeInclusive<usize> = 1..=100;
/// Characters of a challenge's solution.
const CAPTCHA_CHARS: std::ops::RangeInclusive<usize> = 0..=4096;

/// The routes of this family.
#[must_use]
pub fn routes() -> Vec<Route> {
    vec![
        Route::post("/api/v1/auth/signup", signup)
            .public()
            .body_limit(AUTH_BODY_LIMIT)
            .keyed()
            .limited(Family::Signup)
            .long_by_nature(),
        Route::post("/api/v1/auth/login", sessions::login)
            .public()
            .body_limit(AUTH_BODY_LIMIT)
            .limited(Family::Login)
            .long_by_nature(),
        Route::post("/api/v1/auth/refresh", sessions::refresh)
            .public()
            .body_limit(AUTH_BODY_LIMIT)
            .limited(Family::Refresh),
        Route::post("/api/v1/auth/logout", sessions::logout).body_limit(AUTH_BODY_LIMIT).limited(Family::Account),
        Route::get("/api/v1/users/me", me::read).limited(Family::Read),
        Route::patch("/api/v1/users/me", me::change).limited(Family::Account),
        Route::delete("/api/v1/users/me", me::delete).limited(Family::Account),
        Route::put("/api/v1/users/me/password", me::change_password).limited(Family::Account).long_by_nature(),
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
    let called = body.value("name").and_then(serde_json::Value::as_str).unwrap_or("");
    if let Some(password) = password
        && let Err(mistake) = check_password(password, Role::User, email.unwrap_or(""), called)
    {
        mistakes.add("password", mistake);
    }
    let name = body.text(&mut mistakes, "name", NAME_CHARS);
    let phone = form::phone(&body, &mut mistakes);
    let solution = body.optional_text(&mut mistakes, "captchaToken", CAPTCHA_CHARS).map(str::to_owned);
    mistakes.check()?;
    let (Some(email), Some(password), Some(name)) = (email, password, name) else { return Err(mistakes.refuse()) };

    let key = ctx.request_key(&request, &json.bytes)?;
    let password = SecretString::from(password);
    let account = Account {
        id: BuyerId(Uuid::now_v7()),
        email: email.to_owned(),
        name: name.to_owned(),
        phone: phone.map(str::to_owned),
        role: Role::User,
        password_hash: String::new(),
        created_at: ctx.now(),
        disabled_at: None,
    };
    idempotent(ctx, key, move |ctx| async move {
        if ctx.app.challenge_signups {
            let solved = match &solution {
                Some(solution) => ctx.app.challenges.redeem(solution, Effort::Usual, ctx.now()).await?,
                None => false,
            };
            if !solved {
                return Err(guessing::challenge_required(&ctx));
            }
        }
        let signed_up = SignedUpJson { id: account.id.to_string(), email: &account.email, name: &account.name };
        let created = Created::new(Some("/api/v1/users/me".into()), &signed_up)?;
        make(&ctx, account, password, created, key).await
    })
    .await
}

/// Makes an account with that password, and answers `created`.
///
/// # Errors
/// 409 `EMAIL_TAKEN`; 503.
async fn make(
    ctx: &Context,
    mut account: Account,
    password: SecretString,
    created: Created,
    key: Option<RequestKey>,
) -> Result<Created, Problem> {
    // Spares a hash; whether it is taken is decided when the account is made.
    if ctx.app.accounts.by_email(&account.email).await?.is_some() {
        return Err(email_taken());
    }
    account.password_hash = ctx.app.passwords.hash(ctx.client, password).await?;
    let stored = created.stored(key, ctx.now());
    let email_hash = ctx.app.signer.email_hash(&email_key(&account.email));
    match ctx.app.accounts.create(&account, email_hash, stored.as_ref()).await {
        Ok(before) => {
            ctx.app.predecessors.add(account.id, before);
            Ok(created)
        }
        Err(CreateAccountError::EmailTaken) => Err(email_taken()),
        Err(CreateAccountError::Store(error)) => Err(error.into()),
    }
}

fn email_taken() -> Problem {
    Problem::conflict("EMAIL_TAKEN", "an account has this e-mail address")
}

fn invalid_credentials() -> Problem {
    Problem::new(http::StatusCode::UNAUTHORIZED, "INVALID_CREDENTIALS", "e-mail address or password is wrong")
}
