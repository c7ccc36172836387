//! Families of routes that are limited together, each with its name in the configuration and in `RateLimit-Policy`,
//! and its default. Generous: they stop scripts, not people, nor a crowd that polls at the interval it is sent.

use onsale_engine::ports::shared::Quota;
use std::num::NonZeroU32;
use std::time::Duration;

/// How many families there are.
pub const FAMILIES: usize = 13;

/// Routes that are limited together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// Into the waiting room and out of it.
    Enter,
    /// Asking for one's place, and opening streams.
    Status,
    /// Taking, changing and giving back seats.
    Hold,
    /// Opening and confirming payments.
    Payment,
    /// One's own reservations and payments, seats, account.
    Read,
    /// Changing one's account, logging out.
    Account,
    /// Making accounts.
    Signup,
    /// Logging in.
    Login,
    /// Refreshing tokens.
    Refresh,
    /// Wrong passwords, for each account from each address: no route's, and asked by what compares one.
    Password,
    /// Wrong passwords, for each account from anywhere.
    PasswordAccount,
    /// Declined charges, for each buyer: no route's; checked where a charge is started.
    Declined,
    /// Declined charges, for each address.
    DeclinedAddress,
}

impl Family {
    /// Every family, each at its number.
    pub const ALL: [Self; FAMILIES] = [
        Self::Enter,
        Self::Status,
        Self::Hold,
        Self::Payment,
        Self::Read,
        Self::Account,
        Self::Signup,
        Self::Login,
        Self::Refresh,
        Self::Password,
        Self::PasswordAccount,
        Self::Declined,
        Self::DeclinedAddress,
    ];

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Enter => "enter",
            Self::Status => "status",
            Self::Hold => "hold",
            Self::Payment => "payment",
            Self::Read => "read",
            Self::Account => "account",
            Self::Signup => "signup",
            Self::Login => "login",
            Self::Refresh => "refresh",
            Self::Password => "password",
            Self::PasswordAccount => "password_account",
            Self::Declined => "declined",
            Self::DeclinedAddress => "declined_address",
        }
    }

    /// What it allows unless the configuration says otherwise.
    #[must_use]
    pub const fn default_quota(self) -> Quota {
        let (requests, seconds) = match self {
            Self::Status | Self::Read => (1200, 60),
            Self::Enter | Self::Hold | Self::Login | Self::Refresh => (300, 60),
            Self::Payment | Self::Signup => (120, 60),
            Self::Account => (60, 60),
            Self::Password => (10, 300),
            Self::PasswordAccount => (50, 3600),
            Self::Declined => (20, 3600),
            Self::DeclinedAddress => (200, 3600),
        };
        // None of them is zero; `expect` is no option in a constant that lints watch.
        let requests = match NonZeroU32::new(requests) {
            Some(requests) => requests,
            None => NonZeroU32::MIN,
        };
        Quota { requests, window: Duration::from_secs(seconds) }
    }

    /// Whether the client's address is limited, because there is no buyer yet.
    #[must_use]
    pub const fn is_by_address(self) -> bool {
        matches!(self, Self::Signup | Self::Login | Self::Refresh)
    }

    /// Whether all nodes count together. Reads are counted by each node alone: they are the most, and must not wait.
    #[must_use]
    pub const fn is_shared(self) -> bool {
        !matches!(self, Self::Status | Self::Read)
    }

    /// Where its quota stands among those of a configuration.
    #[must_use]
    pub const fn number(self) -> usize {
        self as usize
    }
}
