//! The caller's own account. A token that was minted elsewhere may name a buyer without an account: that is 404.

use crate::accounts::guessing::Attempt;
use crate::accounts::{Fit, NAME_CHARS, PASSWORD_CHARS, check_password, form, invalid_credentials, tickets};
use crate::http::{Context, Mistakes, Object, Problem, Request, Response, response};
use crate::time::rfc3339;
use onsale_engine::email::email_key;
use onsale_engine::ports::accounts::{Account, Revocation, Role};
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct MeJson<'a> {
    id: String,
    email: &'a str,
    name: &'a str,
    phone: Option<&'a str>,
    role: &'static str,
    created_at: String,
}

impl<'a> MeJson<'a> {
    fn new(account: &'a Account) -> Self {
        Self {
            id: account.id.to_string(),
            email: &account.email,
            name: &account.name,
            phone: account.phone.as_deref(),
            role: match account.role {
                Role::User => "USER",
                Role::Admin => "ADMIN",
            },
            created_at: rfc3339(account.created_at),
        }
    }
}

async fn mine(ctx: &Context) -> Result<Account, Problem> {
    ctx.app.accounts.by_id(ctx.buyer()?).await?.ok_or_else(Problem::not_found)
}

pub(super) async fn read(ctx: Context, _: Request) -> Result<Response, Problem> {
    response::ok(&MeJson::new(&mine(&ctx).await?))
}

pub(super) async fn change(ctx: Context, mut request: Request) -> Result<Response, Problem> {
    let json = request.json().await?;
    let mut mistakes = Mistakes::default();
    let body = Object::root(&json.value, &mut mistakes);
    // A name may be left out, but not taken away.
    let name = if body.has("name") { body.text(&mut mistakes, "name", NAME_CHARS) } else { None };
    let phone = form::phone(&body, &mut mistakes);
    mistakes.check()?;

    let mut account = mine(&ctx).await?;
    if let Some(name) = name {
        account.name = name.to_owned();
    }
    if body.has("phone") {
        account.phone = phone.map(str::to_owned);
    }
    if !ctx.app.accounts.update(account.id, &account.name, account.phone.as_deref()).await? {
        return Err(Problem::not_found());
    }
    response::ok(&MeJson::new(&account))
}

pub(super) async fn delete(ctx: Context, request: Request) -> Result<Response, Problem> {
    let mut mistakes = Mistakes::default();
    let is_forced = request.query().boolean(&mut mistakes, "force").unwrap_or(false);
    mistakes.check()?;
    let account = mine(&ctx).await?;
    if !is_forced {
        tickets::check(&ctx, account.id).await?;
    }
    let caller = *ctx.caller()?;
    let (app, now) = (ctx.app.clone(), ctx.now());
    ctx.to_the_end(async move {
        let email_hash = app.signer.email_hash(&email_key(&account.email));
        let ended = app.accounts.delete(account.id, email_hash, now).await?;
        app.revoke(ended).await;
        // The caller's token may have been minted elsewhere, then it belongs to no session.
        let own = Revocation { access_id: caller.access_id, until: caller.expires_at };
        app.accounts.log_out(own, now).await?;
        app.revoke(vec![own]).await;
        Ok(response::no_content())
    })
    .await
}

pub(super) async fn change_password(ctx: Context, mut request: Request) -> Result<Response, Problem> {
    let json = request.json().await?;
    let mut mistakes = Mistakes::default();
    let body = Object::root(&json.value, &mut mistakes);
    let current = body.text(&mut mistakes, "currentPassword", PASSWORD_CHARS);
    let new = body.text(&mut mistakes, "newPassword", PASSWORD_CHARS);
    mistakes.check()?;
    let (Some(current), Some(new)) = (current, new) else { return Err(mistakes.refuse()) };
    let (current, new) = (SecretString::from(current), SecretString::from(new));

    let account = mine(&ctx).await?;
    if let Err(mistake) = check_password(new.expose_secret(), account.role, &account.email, &account.name) {
        mistakes.add("newPassword", mistake);
    }
    mistakes.check()?;
    let compared = Attempt::in_session(&ctx, &account).compare(&ctx, current).await;
    let compared = compared.and_then(|fit| if fit == Fit::Wrong { Err(invalid_credentials()) } else { Ok(()) });
    compared.inspect_err(|problem| ctx.app.security.log_in_refused(&ctx, Some(account.id), problem))?;
    let hash = ctx.app.passwords.hash(ctx.client, new).await?;
    let (app, now, caller) = (ctx.app.clone(), ctx.now(), *ctx.caller()?);
    ctx.to_the_end(async move {
        let keep = app.accounts.session_of(caller.access_id).await?;
        let ended = app.accounts.set_password(account.id, &hash, keep, now).await?;
        app.revoke(ended).await;
        Ok(response::no_content())
    })
    .await
}
