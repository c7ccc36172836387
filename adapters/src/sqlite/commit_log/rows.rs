//! What a frame carries: the stored rows of one batch, in order. A version byte, then for each row either "the next of
//! the same event and epoch" or event, position and epoch in full; then instant, kind, length, chain and body. Must never
//! panic on any bytes.

use crate::chain::{Chain, Row};
use onsale_engine::id::{Epoch, EventId, Seq};
use onsale_engine::time::Timestamp;
use uuid::Uuid;

const VERSION: u8 = 1;
const NEXT: u8 = 0;
const FULL: u8 = 1;

/// A row that was taken from a frame, and the chain after it.
pub(in crate::sqlite) type Logged<'a> = (Row<'a>, Chain);

/// Whose row was the last one.
type Last = Option<(EventId, Seq, Epoch)>;

/// Writes rows behind each other; see the module.
#[derive(Debug, Default)]
pub(super) struct Encoder {
    last: Last,
    rows: u64,
}

impl Encoder {
    /// Begins a payload at the end of `out`.
    pub(super) fn begin(&mut self, out: &mut Vec<u8>) {
        (self.last, self.rows) = (None, 0);
        out.push(VERSION);
    }

    /// How many rows are in it.
    pub(super) fn rows(&self) -> u64 {
        self.rows
    }

    /// Adds a row: `body` writes its body to the end of what it is given and answers the kind; `chain` works out the
    /// chain after the row.
    pub(super) fn push(
        &mut self,
        out: &mut Vec<u8>,
        (event, seq, epoch, at): (EventId, Seq, Epoch, Timestamp),
        body: impl FnOnce(&mut Vec<u8>) -> u8,
        chain: impl FnOnce(&Row<'_>) -> Chain,
    ) -> Chain {
        if self.last.is_some_and(|(of, before, by)| of == event && before.next() == seq && by == epoch) {
            out.push(NEXT);
        } else {
            out.push(FULL);
            out.extend_from_slice(event.0.as_bytes());
            out.extend_from_slice(&seq.0.to_be_bytes());
            out.extend_from_slice(&epoch.0.to_be_bytes());
        }
        (self.last, self.rows) = (Some((event, seq, epoch)), self.rows + 1);
        out.extend_from_slice(&at.0.to_be_bytes());
        let head = out.len();
        out.extend_from_slice(&[0; 1 + 4 + 32]);
        let kind = body(out);
        let start = head + 1 + 4 + 32;
        let after = chain(&Row { event, seq, epoch, at, kind, body: &out[start..] });
        let bytes = (out.len() - start) as u32;
        out[head] = kind;
        out[head + 1..head + 5].copy_from_slice(&bytes.to_be_bytes());
        out[head + 5..start].copy_from_slice(&after.0);
        after
    }
}

/// Reads rows back; ends with the first that makes no sense.
pub(in crate::sqlite) struct Decoder<'a> {
    left: &'a [u8],
    last: Last,
    failed: bool,
}

/// Bytes that are no rows, though their frame was whole.
#[derive(Debug, thiserror::Error)]
#[error("a frame holds what is no row of version {VERSION}")]
pub(in crate::sqlite) struct Malformed;

impl<'a> Decoder<'a> {
    /// The rows of a payload.
    pub(in crate::sqlite) fn new(payload: &'a [u8]) -> Self {
        match payload.split_first() {
            Some((&VERSION, left)) => Self { left, last: None, failed: false },
            _ => Self { left: &[], last: None, failed: true },
        }
    }

    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (bytes, left) = self.left.split_first_chunk()?;
        self.left = left;
        Some(*bytes)
    }

    fn row(&mut self) -> Option<Logged<'a>> {
        let [tag] = self.take()?;
        let (event, seq, epoch) = match tag {
            NEXT => self.last.map(|(event, seq, epoch)| (event, seq.next(), epoch))?,
            FULL => {
                let event = EventId(Uuid::from_bytes(self.take()?));
                (event, Seq(u64::from_be_bytes(self.take()?)), Epoch(u64::from_be_bytes(self.take()?)))
            }
            _ => return None,
        };
        self.last = Some((event, seq, epoch));
        let at = Timestamp(i64::from_be_bytes(self.take()?));
        let [kind] = self.take()?;
        let bytes = u32::from_be_bytes(self.take()?);
        let chain = Chain(self.take()?);
        let (body, left) = self.left.split_at_checked(bytes as usize)?;
        self.left = left;
        Some((Row { event, seq, epoch, at, kind, body }, chain))
    }
}

impl<'a> Iterator for Decoder<'a> {
    type Item = Result<Logged<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if !self.failed && self.left.is_empty() {
            return None;
        }
        let row = if self.failed { None } else { self.row() };
        if row.is_none() {
            (self.left, self.failed) = (&[], false);
        }
        Some(row.ok_or(Malformed))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn encoded() -> (Vec<u8>, Vec<(EventId, Seq, Epoch)>) {
        let event = |number| EventId(Uuid::from_u128(number));
        let places = vec![
            (event(1), Seq(5), Epoch(2)),
            (event(1), Seq(6), Epoch(2)),
            (event(2), Seq(7), Epoch(2)),
            (event(2), Seq(8), Epoch(3)),
            (event(2), Seq(10), Epoch(3)),
        ];
        let (mut encoder, mut out) = (Encoder::default(), vec![9; 3]);
        encoder.begin(&mut out);
        for (event, seq, epoch) in &places {
            let body = |out: &mut Vec<u8>| {
                out.extend(std::iter::repeat_n(7, seq.0 as usize));
                seq.0 as u8
            };
            let chain = |row: &Row<'_>| Chain([row.body.len() as u8; 32]);
            encoder.push(&mut out, (*event, *seq, *epoch, Timestamp(-4)), body, chain);
        }
        assert_eq!(encoder.rows(), 5);
        (out.split_off(3), places)
    }

    #[test]
    fn rows_come_back_as_they_were() {
        let (payload, places) = encoded();
        let rows: Vec<_> = Decoder::new(&payload).map(Result::unwrap).collect();
        assert_eq!(rows.iter().map(|(row, _)| (row.event, row.seq, row.epoch)).collect::<Vec<_>>(), places);
        for (row, chain) in rows {
            assert_eq!((u64::from(row.kind), row.body.len() as u64), (row.seq.0, row.seq.0));
            assert_eq!((row.at, chain), (Timestamp(-4), Chain([row.seq.0 as u8; 32])));
        }
    }

    #[test]
    fn no_bytes_panic_and_nothing_is_guessed() {
        let (payload, _) = encoded();
        for end in 0..payload.len() {
            let decoded: Vec<_> = Decoder::new(&payload[..end]).collect();
            let failed = decoded.iter().filter(|row| row.is_err()).count();
            let whole = end == 1 || decoded.last().is_some_and(|last| last.is_ok());
            assert_eq!(failed, usize::from(!whole), "{end} bytes");
        }
        for at in 0..payload.len() {
            let mut changed = payload.clone();
            changed[at] ^= 0xff;
            assert!(Decoder::new(&changed).count() <= 6);
        }
        assert!(Decoder::new(&[2, 0]).next().unwrap().is_err(), "another version");
    }
}
