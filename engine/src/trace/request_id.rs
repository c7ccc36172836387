//! What a request is known by. Ids in the forms that servers and proxies make take no memory of their own, so that every command
//! can carry one. Must be written exactly as it was read.

use super::TraceId;
use std::fmt;
use std::sync::Arc;
use uuid::Uuid;
use uuid::fmt::{Hyphenated, Simple};

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RequestId {
    /// A UUID with hyphens, as ours are.
    Hyphenated(Uuid),
    /// 32 hex digits, as some proxies make them.
    Simple(Uuid),
    /// A caller's own, in any other form.
    Own(Arc<str>),
}

impl RequestId {
    /// Reads an id.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let is_uuid = matches!(text.len(), Hyphenated::LENGTH | Simple::LENGTH);
        if is_uuid && let Ok(uuid) = Uuid::try_parse(text) {
            // Another spelling of a UUID, such as capitals, is kept as it is.
            let mut buffer = Uuid::encode_buffer();
            if *uuid.hyphenated().encode_lower(&mut buffer) == *text {
                return Self::Hyphenated(uuid);
            }
            if *uuid.simple().encode_lower(&mut buffer) == *text {
                return Self::Simple(uuid);
            }
        }
        Self::Own(text.into())
    }

    /// The trace that a request begins which is part of none: where the id has the size of a trace's, the same one, so that
    /// a person who has one of them has both.
    #[must_use]
    pub fn trace(&self) -> Option<TraceId> {
        match self {
            Self::Hyphenated(uuid) | Self::Simple(uuid) => TraceId::new(*uuid.as_bytes()),
            Self::Own(_) => None,
        }
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hyphenated(uuid) => fmt::Display::fmt(uuid.as_hyphenated(), f),
            Self::Simple(uuid) => fmt::Display::fmt(uuid.as_simple(), f),
            Self::Own(text) => f.write_str(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_written_as_it_was_read() {
        let check = |text: &str, trace: Option<&str>| {
            let id = RequestId::parse(text);
            assert_eq!(id.to_string(), text);
            assert_eq!(id.trace().map(|trace| trace.to_string()).as_deref(), trace, "{text}");
        };
        let trace = Some("0af7651916cd43dd8448eb211c80319c");
        check("0af76519-16cd-43dd-8448-eb211c80319c", trace);
        check("0af7651916cd43dd8448eb211c80319c", trace);
        check("0AF7651916CD43DD8448EB211C80319C", None);
        check("0AF76519-16cd-43dd-8448-eb211c80319c", None);
        check("00000000-0000-0000-0000-000000000000", None);
        check("0af7651916cd43dd8448eb211c80319z", None);
        check("mine-1", None);
        check(&"x".repeat(128), None);
    }
}
