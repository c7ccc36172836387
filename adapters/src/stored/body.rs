//! The stored form of what a journal row has besides its columns: the trace of the request that the fact was decided for, if
//! there was one, and then the fact. Bodies without a trace are those of all versions before there were traces.
//!
//! A trace is distinguished from the version byte of a fact by its highest bit: `0x80`, or `0x81` where it is sampled, then the trace's
//! 16 bytes and the span's 8. Being part of the body it is under the chain, like everything else that a row says.

use super::wire::Input;
use super::{DecodeError, FactKind, decode_fact, encode_fact_into};
use onsale_engine::ports::Plans;
use onsale_engine::sale::{Entry, Fact};
use onsale_engine::trace::{SpanId, TraceContext, TraceId};

/// The first byte of a body with a trace; versions of facts stay below it.
const TRACED: u8 = 0x80;
/// The same where the trace is sampled.
const TRACED_AND_SAMPLED: u8 = 0x81;

/// Appends the body of an entry; for the hot path, where `out` is used again and again.
pub fn encode_body_into(entry: &Entry, out: &mut Vec<u8>) -> FactKind {
    if let Some(TraceContext { trace, span, is_sampled }) = &entry.trace {
        out.push(if *is_sampled { TRACED_AND_SAMPLED } else { TRACED });
        out.extend_from_slice(trace.bytes());
        out.extend_from_slice(span.bytes());
    }
    encode_fact_into(&entry.fact, out)
}

/// Reads a body back. Plans are stored by their hash and found in `plans`.
///
/// # Errors
/// [`DecodeError`]; any bytes are answered, none panic.
pub fn decode_body(
    kind: FactKind,
    body: &[u8],
    plans: &dyn Plans,
) -> Result<(Option<TraceContext>, Fact), DecodeError> {
    let is_sampled = match body.first() {
        Some(&TRACED) => false,
        Some(&TRACED_AND_SAMPLED) => true,
        Some(_) | None => return Ok((None, decode_fact(kind, body, plans)?)),
    };
    let mut input = Input::new(body);
    input.byte()?;
    let zeros = || DecodeError::malformed("a trace has an id of zeros");
    let trace = TraceId::new(input.array()?).ok_or_else(zeros)?;
    let span = SpanId::new(input.array()?).ok_or_else(zeros)?;
    Ok((Some(TraceContext { trace, span, is_sampled }), decode_fact(kind, input.rest(), plans)?))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use onsale_engine::fakes::FakePlans;
    use onsale_engine::id::{Epoch, ReservationId, Seq};
    use onsale_engine::time::Timestamp;
    use uuid::Uuid;

    const TRACEPARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn entry(trace: Option<TraceContext>) -> Entry {
        let fact = Fact::HoldReleased { reservation: ReservationId(Uuid::from_u128(2)) };
        Entry { seq: Seq(1), epoch: Epoch(1), at: Timestamp(0), trace, fact }
    }

    fn encoded(entry: &Entry) -> Vec<u8> {
        let mut body = Vec::new();
        assert_eq!(encode_body_into(entry, &mut body), FactKind::HoldReleased);
        body
    }

    fn decode(body: &[u8]) -> Result<(Option<TraceContext>, Fact), DecodeError> {
        decode_body(FactKind::HoldReleased, body, &FakePlans::default())
    }

    #[test]
    fn a_trace_comes_back_as_it_was_and_none_takes_no_room() {
        let sampled = TraceContext::parse(TRACEPARENT);
        let unsampled = sampled.map(|trace| TraceContext { is_sampled: false, ..trace });
        for trace in [sampled, unsampled, None] {
            let entry = entry(trace);
            assert_eq!(decode(&encoded(&entry)).unwrap(), (trace, entry.fact));
        }
        assert_eq!(encoded(&entry(sampled)).len(), encoded(&entry(None)).len() + 25);
    }

    /// A row of a version before traces, and one with a trace: neither may ever be read as something else.
    #[test]
    fn old_bodies_are_still_read() {
        let fact = "0100000000000000000000000000000002";
        let unhex = |text: String| -> Vec<u8> {
            (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
        };
        let untraced = unhex(fact.to_owned());
        let traced = unhex(format!("810af7651916cd43dd8448eb211c80319cb7ad6b7169203331{fact}"));
        assert_eq!(decode(&untraced).unwrap(), (None, entry(None).fact));
        assert_eq!(decode(&traced).unwrap(), (TraceContext::parse(TRACEPARENT), entry(None).fact));
        assert_eq!((encoded(&entry(None)), encoded(&entry(TraceContext::parse(TRACEPARENT)))), (untraced, traced));
    }

    #[test]
    fn bytes_that_were_never_written_are_an_error() {
        let body = encoded(&entry(TraceContext::parse(TRACEPARENT)));
        for end in 0..body.len() {
            assert!(decode(&body[..end]).is_err(), "cut at {end}");
        }
        assert!(decode(&[&body[..], &[0]].concat()).is_err(), "a byte more");
        let zeros = [&[TRACED][..], &[0; 24], &body[25..]].concat();
        assert_eq!(decode(&zeros).unwrap_err().to_string(), "a trace has an id of zeros");
        let twice = [&body[..25], &body[..]].concat();
        assert!(decode(&twice).is_err(), "two traces");
        assert!(decode(&[&[0x82][..], &body[1..]].concat()).is_err(), "a mark that does not exist");
    }
}
