//! A place as its buyer is answered it: only the members that are needed, borrowed from the answer.

use serde::Deserialize;
use std::borrow::Cow;

/// What is read of a place.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Place<'a> {
    #[serde(borrow)]
    pub status: Cow<'a, str>,
    pub rank: Option<u64>,
    #[serde(borrow, default)]
    pub token: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    pub token_expires_at: Option<Cow<'a, str>>,
    pub poll_after_seconds: u64,
}

/// Where a buyer stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stand {
    PreQueue,
    Waiting,
    Active,
    Expired,
}

impl<'a> Place<'a> {
    pub(super) fn read(body: &'a [u8]) -> Result<(Stand, Self), String> {
        let place: Self = serde_json::from_slice(body).map_err(|error| format!("not a place: {error}"))?;
        let stand = match place.status.as_ref() {
            "PRE_QUEUE" => Stand::PreQueue,
            "WAITING" => Stand::Waiting,
            "ACTIVE" => Stand::Active,
            "EXPIRED" => Stand::Expired,
            other => return Err(format!("a place of status {other}")),
        };
        Ok((stand, place))
    }

    /// When the token ends, in microseconds since 1970. It counts from when the admission was due, so that these times
    /// lie as far apart as the admissions.
    pub(super) fn ends(&self) -> Result<i64, String> {
        let text = self.token_expires_at.as_deref().ok_or("ACTIVE without tokenExpiresAt")?;
        let at: jiff::Timestamp = text.parse().map_err(|_| format!("tokenExpiresAt {text}"))?;
        match self.token.as_deref() {
            Some(token) if token.starts_with("qr_") => Ok(at.as_microsecond()),
            _ => Err("ACTIVE without a queue token".into()),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may end on its first surprise")]
    use super::*;

    #[test]
    fn a_place_is_read_as_the_contract_has_it() {
        let body = br#"{"eventId":"e","status":"ACTIVE","rank":0,"estimatedWaitSeconds":null,"totalInQueue":4,
            "token":"qr_a","tokenExpiresAt":"2026-06-01T10:00:00.000001Z","ticket":"pt_","pollAfterSeconds":2}"#;
        let (stand, place) = Place::read(body).unwrap();
        assert_eq!((stand, place.rank, place.poll_after_seconds), (Stand::Active, Some(0), 2));
        assert_eq!(place.ends().unwrap() % 1_000_000, 1);
        let waiting = br#"{"status":"WAITING","rank":7,"token":null,"tokenExpiresAt":null,"pollAfterSeconds":5}"#;
        let (stand, place) = Place::read(waiting).unwrap();
        assert_eq!((stand, place.rank), (Stand::Waiting, Some(7)));
        assert!(place.ends().is_err());
        assert!(Place::read(br#"{"status":"LOST","pollAfterSeconds":5}"#).is_err());
    }
}
