//! Sessions: logging in, refreshing with a token that is spent by it, logging out. Refresh tokens are 32 random bytes;
//! only their hashes are stored.

use crate::accounts::guessing::Attempt;
use crate::accounts::{CAPTCHA_CHARS, Fit, PASSWORD_CHARS, invalid_credentials};
use crate::auth::ACCESS_LIFETIME;
use crate::http::{Context, Mistakes, Object, Problem, Request, Response, response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::StatusCode;
use onsale_engine::ports::accounts::{Account, IssuedTokens, Revocation, Role, Rotation};
use secrecy::SecretString;
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::time::Duration;
use uuid::Uuid;

/// How long a refresh token lives.
const REFRESH_LIFETIME: Duration = Duration::from_secs(14 * 24 * 3600);

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct TokensJson {
    access_token: String,
    refresh_token: String,
    expires_in: u64,
    token_type: &'static str,
}

pub(super) async fn login(ctx: Context, mut request: Request) -> Result<Response, Problem> {
    let json = request.json().await?;
    let mut mistakes = Mistakes::default();
    let body = Object::root(&json.value, &mut mistakes);
    let email = body.text(&mut mistakes, "email", 1..=254);
    let password = body.text(&mut mistakes, "password", PASSWORD_CHARS);
    let solution = body.optional_text(&mut mistakes, "captchaToken", CAPTCHA_CHARS);
    mistakes.check()?;
    let (Some(email), Some(password)) = (email, password) else { return Err(mistakes.refuse()) };

    let account = ctx.app.accounts.by_email(email).await?;
    let attempt = Attempt::log_in(&ctx, email, account.as_ref(), solution);
    let password = SecretString::from(password);
    let compared = attempt.compare(&ctx, password.clone()).await;
    let whose = account.as_ref().map(|account| account.id);
    let fit = compared.inspect_err(|problem| ctx.app.security.log_in_refused(&ctx, whose, problem))?;
    // A disabled account is answered as one with another password, after the same work.
    let may_log_in = |account: &Account| fit != Fit::Wrong && account.disabled_at.is_none();
    let Some(account) = account.filter(may_log_in) else {
        let problem = invalid_credentials();
        ctx.app.security.log_in_refused(&ctx, whose, &problem);
        return Err(problem);
    };
    if fit == Fit::AsItCame {
        // What fails is done at the next log-in: the password was right all the same.
        drop(hash_again(&ctx, &account, password).await);
    }
    let (issued, tokens) = issue(&ctx, &account, Uuid::now_v7())?;
    let from = ctx.app.signer.client_hash(account.id, ctx.client);
    ctx.app.accounts.open_session(&issued, from, ctx.now()).await?;
    if account.role == Role::Admin {
        ctx.app.security.administrator_logged_in(&ctx, account.id);
    }
    answer(&tokens)
}

/// A password that was hashed in another form than NFC is hashed in NFC, now that it is known. Changed meanwhile, it stays
/// as it was changed.
async fn hash_again(ctx: &Context, account: &Account, password: SecretString) -> Result<(), Problem> {
    let hash = ctx.app.passwords.hash(ctx.client, password).await?;
    ctx.app.accounts.rehash_password(account.id, &account.password_hash, &hash).await?;
    Ok(())
}

pub(super) async fn refresh(ctx: Context, mut request: Request) -> Result<Response, Problem> {
    let json = request.json().await?;
    let mut mistakes = Mistakes::default();
    let body = Object::root(&json.value, &mut mistakes);
    let token = body.text(&mut mistakes, "refreshToken", 1..=256);
    mistakes.check()?;
    let Some(token) = token else { return Err(mistakes.refuse()) };

    let spent = hash_of(token);
    let owner = ctx.app.accounts.refresh_owner(spent).await?;
    let (buyer, family) = owner.ok_or_else(unknown_token)?;
    let account = ctx.app.accounts.by_id(buyer).await?.ok_or_else(unknown_token)?;
    let (next, tokens) = issue(&ctx, &account, family)?;
    match ctx.app.accounts.rotate(spent, &next, ctx.now()).await? {
        Rotation::Rotated => answer(&tokens),
        Rotation::Unknown => Err(unknown_token()),
        Rotation::Reused => {
            ctx.app.security.refresh_token_reused(&ctx, buyer);
            let detail = "this refresh token was used before; its session has ended, log in again";
            Err(Problem::new(StatusCode::UNAUTHORIZED, "REFRESH_TOKEN_REUSED", detail))
        }
    }
}

pub(super) async fn logout(ctx: Context, _: Request) -> Result<Response, Problem> {
    let caller = *ctx.caller()?;
    let revocation = Revocation { access_id: caller.access_id, until: caller.expires_at };
    ctx.app.accounts.log_out(revocation, ctx.now()).await?;
    ctx.app.revoke(vec![revocation]).await;
    Ok(response::no_content())
}

fn issue(ctx: &Context, account: &Account, family: Uuid) -> Result<(IssuedTokens, TokensJson), Problem> {
    let now = ctx.now();
    let minted = ctx.app.tokens.mint(account.id, account.role, now)?;
    let refresh_token = URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>());
    let issued = IssuedTokens {
        family,
        buyer: account.id,
        refresh_hash: hash_of(&refresh_token),
        refresh_expires_at: now + REFRESH_LIFETIME,
        access_id: minted.access_id,
        access_expires_at: minted.expires_at,
    };
    let tokens = TokensJson {
        access_token: minted.token,
        refresh_token,
        expires_in: ACCESS_LIFETIME.as_secs(),
        token_type: "Bearer",
    };
    Ok((issued, tokens))
}

fn answer(tokens: &TokensJson) -> Result<Response, Problem> {
    response::ok(tokens)
}

/// The token is random beyond guessing, so a plain hash does.
fn hash_of(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

fn unknown_token() -> Problem {
    Problem::unauthenticated("the refresh token is not valid")
}
