//! Security events of the important log: log-ins that were refused, log-ins of administrators, roles that did not suffice,
//! tokens that were forged or used twice, exports of personal data. With ids and a keyed hash of the client's address; bounded, so that an attack does not fill the
//! disk: what is left out is counted in the next line. Must never carry an address, a password or a token.

use crate::auth::TokenFault;
use crate::http::{Budget, Context, Problem};
use crate::logging::IMPORTANT;
use onsale_engine::id::{BuyerId, EventId};
use onsale_engine::time::Timestamp;

/// Lines of each kind in any one second.
const LINES_PER_SECOND: u32 = 20;

/// See the module.
#[derive(Default)]
pub struct SecurityLog {
    log_ins: Budget<LINES_PER_SECOND>,
    roles: Budget<LINES_PER_SECOND>,
    tokens: Budget<LINES_PER_SECOND>,
}

impl SecurityLog {
    /// A log-in, or a change of a password, was refused because of who asks: a wrong password, or too many.
    pub fn log_in_refused(&self, ctx: &Context, account: Option<BuyerId>, problem: &Problem) {
        let code = problem.code();
        if !matches!(code, "INVALID_CREDENTIALS" | "RATE_LIMITED" | "CHALLENGE_REQUIRED") {
            return;
        }
        let Some(unlogged) = self.log_ins.take(second(ctx.now())) else { return };
        let (client, buyer_id) = (ctx.app.signer.client_name(ctx.client), account.map(tracing::field::display));
        tracing::info!(target: IMPORTANT, security = "LOGIN_REFUSED", client, buyer_id, code, unlogged, "log-in refused");
    }

    /// An administrator has logged in. Never left out.
    pub fn administrator_logged_in(&self, ctx: &Context, account: BuyerId) {
        let client = ctx.app.signer.client_name(ctx.client);
        tracing::info!(target: IMPORTANT, security = "ADMIN_LOGIN", client, buyer_id = %account, "administrator logged in");
    }

    /// An administrator was made, disabled or enabled by another one. Never left out.
    pub fn administrator_changed(&self, what: &'static str, by: BuyerId, account: BuyerId) {
        tracing::info!(target: IMPORTANT, security = what, by = %by, buyer_id = %account, "administrators changed");
    }

    /// A refresh token was used a second time: one of the two was not its owner.
    pub fn refresh_token_reused(&self, ctx: &Context, account: BuyerId) {
        let Some(unlogged) = self.tokens.take(second(ctx.now())) else { return };
        let client = ctx.app.signer.client_name(ctx.client);
        tracing::info!(target: IMPORTANT, security = "REFRESH_REUSED", client, buyer_id = %account, unlogged, "refresh token reused");
    }

    /// An administrator exports the reservations of an event, with the names and addresses of its buyers. Never left out.
    pub fn exported(&self, ctx: &Context, by: BuyerId, event: EventId) {
        let client = ctx.app.signer.client_name(ctx.client);
        tracing::info!(target: IMPORTANT, security = "EXPORT", client, buyer_id = %by, event_id = %event, "reservations exported");
    }

    /// Somebody without the role asked for an administrator's route. `client` is the name of their address.
    pub fn role_refused(&self, client: impl FnOnce() -> String, buyer: BuyerId, route: &str, now: Timestamp) {
        let Some(unlogged) = self.roles.take(second(now)) else { return };
        let client = client();
        tracing::info!(target: IMPORTANT, security = "ROLE_REFUSED", client, buyer_id = %buyer, route, unlogged, "role refused");
    }

    /// A token was refused: noted when it was not ours at all, not when it has only ended.
    pub fn token_refused(&self, client: impl FnOnce() -> String, fault: TokenFault, route: &str, now: Timestamp) {
        match fault {
            TokenFault::Missing | TokenFault::Expired | TokenFault::Revoked => return,
            TokenFault::Bad => {}
        }
        let Some(unlogged) = self.tokens.take(second(now)) else { return };
        let client = client();
        tracing::info!(target: IMPORTANT, security = "TOKEN_FORGED", client, route, unlogged, "bad token");
    }
}

fn second(now: Timestamp) -> i64 {
    now.0.div_euclid(1_000_000)
}
