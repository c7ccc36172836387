//! Limits on wrong passwords, and what a log-in costs beyond them. A stranger's wrong passwords never lock an account's owner
//! out: beyond the account's limit an address that has logged in there before may continue, and so may any that solves a
//! challenge. Must never reveal by answer or time whether an address has an account.

use crate::accounts::challenge::Effort;
use crate::accounts::passwords::Fit;
use crate::http::{Context, Problem};
use crate::limits::{Guess, TooMany};
use http::StatusCode;
use onsale_engine::email::email_key;
use onsale_engine::id::BuyerId;
use onsale_engine::ports::accounts::Account;
use secrecy::SecretString;
use uuid::Uuid;

/// Why an attempt goes on beyond a limit.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Allowance {
    /// There was none to go beyond.
    WithinLimits,
    /// The account has logged in from its address: beyond the account's limit.
    KnownAddress,
    /// A challenge was solved: beyond any.
    Solved,
}

/// Somebody who says that an account is theirs.
pub(super) struct Attempt<'a> {
    /// Whose password it would be; none for an address without an account.
    pub account: Option<&'a Account>,
    /// The solution of a challenge, if one came with it.
    pub solution: Option<&'a str>,
    guess: Guess,
    has_session: bool,
}

impl<'a> Attempt<'a> {
    /// Somebody who logs in. An address without an account counts like one, so that it cannot be distinguished.
    pub(super) fn log_in(ctx: &Context, email: &str, account: Option<&'a Account>, solution: Option<&'a str>) -> Self {
        let signer = &ctx.app.signer;
        let whose = match account {
            Some(account) => signer.account_digest("guess", &[account.id.0.as_bytes()]),
            None => signer.account_digest("guess", &[email_key(email).as_bytes()]),
        };
        let pair = signer.account_digest("guess from", &[&whose, &ctx.client.to_be_bytes()]);
        let guess = Guess { pair: u128::from_be_bytes(pair), account: Some(u128::from_be_bytes(whose)) };
        Self { account, solution, guess, has_session: false }
    }

    /// Somebody who has a session of the account: counted apart, so that nobody else can use it up.
    pub(super) fn in_session(ctx: &Context, account: &'a Account) -> Self {
        let pair = ctx.app.signer.account_digest("guess in session", &[account.id.0.as_bytes()]);
        let guess = Guess { pair: u128::from_be_bytes(pair), account: None };
        Self { account: Some(account), solution: None, guess, has_session: true }
    }

    /// Whether this is the account's password; without an account it never is.
    ///
    /// # Errors
    /// 429 when this address has guessed too often, 403 `CHALLENGE_REQUIRED` when others have, whatever the password, and
    /// also when the guesses came all at once; both with a challenge, but within a session.
    pub(super) async fn compare(&self, ctx: &Context, password: SecretString) -> Result<Fit, Problem> {
        let mut allowance = Allowance::WithinLimits;
        if let Err(too_many) = ctx.app.limits.may_guess(self.guess) {
            allowance = self.allowance(ctx, too_many).await?;
        }
        let hash = self.account.map(|account| account.password_hash.as_str());
        let fit = ctx.app.passwords.verify(ctx.client, password, hash).await?;
        let beyond = match fit {
            Fit::Wrong => ctx.app.limits.was_wrong(self.guess).await,
            Fit::Composed | Fit::AsItCame => ctx.app.limits.may_guess(self.guess),
        };
        match beyond {
            Ok(()) => {}
            Err(_) if allowance == Allowance::Solved => {}
            Err(TooMany::AtAccount(_)) if allowance == Allowance::KnownAddress || self.is_known(ctx).await? => {}
            Err(too_many) => return Err(self.refusal(ctx, too_many)),
        }
        Ok(fit)
    }

    async fn allowance(&self, ctx: &Context, too_many: TooMany) -> Result<Allowance, Problem> {
        if matches!(too_many, TooMany::AtAccount(_)) && self.is_known(ctx).await? {
            return Ok(Allowance::KnownAddress);
        }
        let solution = self.solution.filter(|_| !self.has_session);
        if let Some(solution) = solution
            && ctx.app.challenges.redeem(solution, effort(&too_many), ctx.now()).await?
        {
            return Ok(Allowance::Solved);
        }
        Err(self.refusal(ctx, too_many))
    }

    /// Whether the account has logged in from this address. Also asked where there is no account, which takes as long.
    async fn is_known(&self, ctx: &Context) -> Result<bool, Problem> {
        let id = self.account.map_or(BuyerId(Uuid::nil()), |account| account.id);
        Ok(ctx.app.accounts.knows_address(id, ctx.app.signer.client_hash(id, ctx.client)).await?)
    }

    fn refusal(&self, ctx: &Context, too_many: TooMany) -> Problem {
        let effort = effort(&too_many);
        let problem = match too_many {
            TooMany::FromAddress(problem) => problem,
            TooMany::AtAccount(_) => return challenge_required(ctx),
        };
        if self.has_session {
            return problem;
        }
        problem.with("challenge", ctx.app.challenges.offer(effort, ctx.now()))
    }
}

fn effort(too_many: &TooMany) -> Effort {
    match too_many {
        TooMany::FromAddress(_) => Effort::Harder,
        TooMany::AtAccount(_) => Effort::Usual,
    }
}

/// 403: ask again with the solution of this challenge as `captchaToken`.
pub(super) fn challenge_required(ctx: &Context) -> Problem {
    let detail = "solve the challenge and send its solution as captchaToken";
    let problem = Problem::new(StatusCode::FORBIDDEN, "CHALLENGE_REQUIRED", detail);
    problem.with("challenge", ctx.app.challenges.offer(Effort::Usual, ctx.now()))
}
