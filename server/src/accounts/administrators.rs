//! Administrators over HTTP: made, listed, disabled and enabled by administrators. Must never disable the last one that can
//! log in: nobody could undo it over HTTP.

use crate::accounts::{NAME_CHARS, PASSWORD_CHARS, check_password, form, make};
use crate::http::{Context, Mistakes, Object, Problem, Request, Response, Route, response};
use crate::idempotency::{Created, idempotent};
use crate::time::rfc3339;
use onsale_engine::id::BuyerId;
use onsale_engine::ports::accounts::{Account, Disabled, Role};
use secrecy::SecretString;
use serde::Serialize;
use uuid::Uuid;

/// What an administrator is called that was given no name.
pub(crate) const UNNAMED: &str = "Administrator";

/// The routes of this family.
#[must_use]
pub fn routes() -> Vec<Route> {
    vec![
        Route::get("/api/v1/admin/users", list).admin(),
        Route::post("/api/v1/admin/users", create).admin().keyed().long_by_nature(),
        Route::patch("/api/v1/admin/users/{id}", change).admin(),
    ]
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct AdministratorJson<'a> {
    id: String,
    email: &'a str,
    name: &'a str,
    role: &'static str,
    created_at: String,
    disabled_at: Option<String>,
}

impl<'a> From<&'a Account> for AdministratorJson<'a> {
    fn from(account: &'a Account) -> Self {
        Self {
            id: account.id.to_string(),
            email: &account.email,
            name: &account.name,
            role: "ADMIN",
            created_at: rfc3339(account.created_at),
            disabled_at: account.disabled_at.map(rfc3339),
        }
    }
}

#[derive(Serialize)]
struct ListJson<'a> {
    items: Vec<AdministratorJson<'a>>,
}

async fn list(ctx: Context, _: Request) -> Result<Response, Problem> {
    let accounts = ctx.app.accounts.administrators().await?;
    response::ok(&ListJson { items: accounts.iter().map(AdministratorJson::from).collect() })
}

async fn create(ctx: Context, mut request: Request) -> Result<Response, Problem> {
    let json = request.json().await?;
    let mut mistakes = Mistakes::default();
    let body = Object::strict_root(&json.value, &mut mistakes);
    let email = form::email(&body, &mut mistakes);
    let password = body.text(&mut mistakes, "password", PASSWORD_CHARS);
    let name = body.optional_text(&mut mistakes, "name", NAME_CHARS).unwrap_or(UNNAMED);
    if let Some(password) = password
        && let Err(mistake) = check_password(password, Role::Admin, email.unwrap_or(""), name)
    {
        mistakes.add("password", mistake);
    }
    body.refuse_unknown(&json.value, &mut mistakes);
    mistakes.check()?;
    let (Some(email), Some(password)) = (email, password) else { return Err(mistakes.refuse()) };

    let key = ctx.request_key(&request, &json.bytes)?;
    let password = SecretString::from(password);
    let account = Account {
        id: BuyerId(Uuid::now_v7()),
        email: email.to_owned(),
        name: name.to_owned(),
        phone: None,
        role: Role::Admin,
        password_hash: String::new(),
        created_at: ctx.now(),
        disabled_at: None,
    };
    idempotent(ctx, key, move |ctx| async move {
        let (id, created) = (account.id, Created::new(None, &AdministratorJson::from(&account))?);
        let created = make(&ctx, account, password, created, key).await?;
        ctx.app.security.administrator_changed("ADMIN_MADE", ctx.buyer()?, id);
        Ok(created)
    })
    .await
}

async fn change(ctx: Context, mut request: Request) -> Result<Response, Problem> {
    let json = request.json().await?;
    let mut mistakes = Mistakes::default();
    let body = Object::strict_root(&json.value, &mut mistakes);
    let disabled = body.boolean(&mut mistakes, "disabled");
    body.refuse_unknown(&json.value, &mut mistakes);
    mistakes.check()?;
    let Some(disabled) = disabled else { return Err(mistakes.refuse()) };
    let (id, by) = (BuyerId(request.path_id("id")?), ctx.buyer()?);
    let (app, now) = (ctx.app.clone(), ctx.now());
    let account = ctx
        .to_the_end(async move {
            if disabled {
                match app.accounts.disable(id, true, now).await? {
                    Disabled::Done(ended) => app.revoke(ended).await,
                    Disabled::Last => {
                        let detail = "nobody else could log in as an administrator";
                        return Err(Problem::conflict("LAST_ADMINISTRATOR", detail));
                    }
                    Disabled::Unknown => return Err(Problem::not_found()),
                }
            } else if !app.accounts.enable(id).await? {
                return Err(Problem::not_found());
            }
            app.security.administrator_changed(if disabled { "ADMIN_DISABLED" } else { "ADMIN_ENABLED" }, by, id);
            app.accounts.by_id(id).await?.ok_or_else(Problem::not_found)
        })
        .await?;
    response::ok(&AdministratorJson::from(&account))
}
