//! The stored form of a row's story: positions in a journal as varints, one after the other, so that storages append to
//! what is there without reading it. Must never panic on any bytes.

use super::DecodeError;
use super::wire::{Input, put_varint};
use onsale_engine::id::Seq;

/// What is appended for these positions.
pub(crate) fn encode_seqs(seqs: &[Seq]) -> Vec<u8> {
    let mut out = Vec::with_capacity(seqs.len() * 4);
    seqs.iter().for_each(|seq| put_varint(&mut out, seq.0));
    out
}

/// All positions.
///
/// # Errors
/// [`DecodeError::Malformed`].
pub(crate) fn decode_seqs(bytes: &[u8]) -> Result<Vec<Seq>, DecodeError> {
    let (mut input, mut seqs) = (Input::new(bytes), Vec::new());
    while input.end().is_err() {
        seqs.push(Seq(input.varint()?));
    }
    Ok(seqs)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn what_is_appended_is_read_back_in_order() {
        let first = [Seq(1), Seq(127), Seq(128)];
        let then = [Seq(1 << 40), Seq(u64::MAX)];
        let stored = [encode_seqs(&first), encode_seqs(&[]), encode_seqs(&then)].concat();
        assert_eq!(decode_seqs(&stored).unwrap(), [&first[..], &then].concat());
        assert_eq!(decode_seqs(&[]).unwrap(), []);
        assert!(decode_seqs(&[0x80]).is_err(), "a number has no end");
    }
}
