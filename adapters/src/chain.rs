//! The journal's chain: a running keyed hash over every row and all rows of its event before it, so that nobody
//! without the key can change, drop or reorder what has been written, and a broken disk is found. Storage brings the
//! rows; this knows no storage. Must never write a key anywhere but into its own file.

use onsale_engine::id::{Epoch, EventId, Seq};
use onsale_engine::time::Timestamp;
use std::fmt::{self, Write as _};
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;

const CHAIN_CONTEXT: &str = "onsale 2026-06-01 journal chain v1";
const SNAPSHOT_CONTEXT: &str = "onsale 2026-06-01 snapshot checksum v1";
const LOG_CONTEXT: &str = "onsale 2026-11-24 commit log frame v1";

/// The running hash after a row.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Chain(pub [u8; 32]);

impl Chain {
    /// A stored chain; none if it has another length.
    #[must_use]
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }
}

impl fmt::Display for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Chain({self})")
    }
}

/// What a row is, as the chain covers it.
#[derive(Clone, Copy, Debug)]
pub struct Row<'a> {
    /// The event.
    pub event: EventId,
    /// Its position.
    pub seq: Seq,
    /// Which ownership wrote it.
    pub epoch: Epoch,
    /// When it was decided.
    pub at: Timestamp,
    /// The number of its kind.
    pub kind: u8,
    /// The stored form of the fact.
    pub body: &'a [u8],
}

/// The keys that chains and snapshots are made with. All who read one journal need the same.
#[derive(Clone)]
pub struct ChainKey {
    chain: [u8; 32],
    snapshot: [u8; 32],
    log: LogKey,
}

impl fmt::Debug for ChainKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ChainKey(…)")
    }
}

/// The key that the frames of a commit log are covered with.
#[derive(Clone)]
pub(crate) struct LogKey([u8; 32]);

impl fmt::Debug for LogKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LogKey(…)")
    }
}

impl LogKey {
    /// Proves that a frame is whole and where it belongs; `head` has a fixed length.
    pub(crate) fn hash(&self, head: &[u8], payload: &[u8]) -> [u8; 16] {
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        let hash = hasher.update(head).update(payload).finalize();
        std::array::from_fn(|at| hash.as_bytes()[at])
    }
}

impl ChainKey {
    /// The keys that follow from a secret: the content of a key file, or what several nodes were configured with.
    #[must_use]
    pub fn derive(secret: &[u8]) -> Self {
        Self {
            chain: blake3::derive_key(CHAIN_CONTEXT, secret),
            snapshot: blake3::derive_key(SNAPSHOT_CONTEXT, secret),
            log: LogKey(blake3::derive_key(LOG_CONTEXT, secret)),
        }
    }

    /// The key of the commit log.
    pub(crate) fn log(&self) -> &LogKey {
        &self.log
    }

    /// Where an event's chain begins.
    #[must_use]
    pub fn genesis(&self, event: EventId) -> Chain {
        Chain(*blake3::keyed_hash(&self.chain, event.0.as_bytes()).as_bytes())
    }

    /// The chain after `row`. `scratch` is cleared, and saves the allocation when it is used again and again.
    #[must_use]
    pub fn next(&self, previous: &Chain, row: &Row<'_>, scratch: &mut Vec<u8>) -> Chain {
        // Every member before the body has a fixed length, so no two rows are the same bytes.
        scratch.clear();
        scratch.extend_from_slice(&previous.0);
        scratch.extend_from_slice(row.event.0.as_bytes());
        scratch.extend_from_slice(&row.seq.0.to_be_bytes());
        scratch.extend_from_slice(&row.epoch.0.to_be_bytes());
        scratch.extend_from_slice(&row.at.0.to_be_bytes());
        scratch.push(row.kind);
        scratch.extend_from_slice(row.body);
        Chain(*blake3::keyed_hash(&self.chain, scratch).as_bytes())
    }

    /// The checksum of a snapshot that was taken after `seq`, where the journal's chain is `chain`.
    #[must_use]
    pub fn snapshot(&self, event: EventId, seq: Seq, chain: &Chain, body: &[u8]) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new_keyed(&self.snapshot);
        hasher.update(event.0.as_bytes()).update(&seq.0.to_be_bytes()).update(&chain.0).update(body);
        *hasher.finalize().as_bytes()
    }
}

impl ChainKey {
    /// The checksum of a summary that was kept after `seq`, where the journal's chain is `chain`; nobody writes with
    /// `epoch` any more.
    #[must_use]
    pub(crate) fn summary(&self, event: EventId, seq: Seq, epoch: Epoch, chain: &Chain, body: &[u8]) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new_keyed(&self.snapshot);
        hasher.update(b"summary").update(event.0.as_bytes()).update(&seq.0.to_be_bytes());
        hasher.update(&epoch.0.to_be_bytes()).update(&chain.0).update(body);
        *hasher.finalize().as_bytes()
    }
}

/// What a key file holds: 32 random bytes, written as 64 hexadecimal digits.
pub struct Secret([u8; 32]);

impl Secret {
    /// Reads the file.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`] without a file, [`io::ErrorKind::InvalidData`] when it is no key.
    pub fn read(path: &Path) -> io::Result<Self> {
        let text = fs::read_to_string(path)?;
        let bytes = parse_hex(text.trim())
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "a key file is 64 hexadecimal digits"))?;
        Ok(Self(bytes))
    }

    /// Makes a new file, readable by its owner only, complete or not at all, and on the disk when this returns.
    ///
    /// # Errors
    /// As the file system says.
    pub fn create(path: &Path) -> io::Result<Self> {
        // Each version 4 UUID brings 122 bits from the operating system.
        let mut hasher = blake3::Hasher::new_derive_key("onsale 2026-06-01 new secret");
        for _ in 0..4 {
            hasher.update(uuid::Uuid::new_v4().as_bytes());
        }
        let secret = Self(*hasher.finalize().as_bytes());
        let mut text = String::with_capacity(65);
        for byte in secret.0 {
            let _ = write!(text, "{byte:02x}");
        }
        text.push('\n');
        let partial = path.with_extension("partial");
        match fs::remove_file(&partial) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let mut file = private_file(&partial)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&partial, path)?;
        if let Some(directory) = path.parent() {
            File::open(directory)?.sync_all()?;
        }
        Ok(secret)
    }

    /// Its bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

fn parse_hex(text: &str) -> Option<[u8; 32]> {
    let digits: &[u8; 64] = text.as_bytes().try_into().ok()?;
    let mut bytes = [0; 32];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(unix)]
fn private_file(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    File::options().write(true).create_new(true).mode(0o600).open(path)
}

#[cfg(not(unix))]
fn private_file(path: &Path) -> io::Result<File> {
    File::options().write(true).create_new(true).open(path)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use uuid::Uuid;

    fn row(body: &[u8]) -> Row<'_> {
        let event = EventId(Uuid::from_u128(7));
        Row { event, seq: Seq(1), epoch: Epoch(2), at: Timestamp(3), kind: 4, body }
    }

    #[test]
    fn every_member_and_the_key_and_the_past_are_in_the_chain() {
        let key = ChainKey::derive(b"a secret");
        let start = key.genesis(row(b"").event);
        let mut scratch = Vec::new();
        let original = row(b"body");
        let mut all = vec![key.next(&start, &original, &mut scratch)];
        let others = [
            Row { event: EventId(Uuid::from_u128(8)), ..original },
            Row { seq: Seq(2), ..original },
            Row { epoch: Epoch(3), ..original },
            Row { at: Timestamp(4), ..original },
            Row { kind: 5, ..original },
            row(b"bodY"),
            row(b"body\0"),
        ];
        all.extend(others.iter().map(|other| key.next(&start, other, &mut scratch)));
        all.push(key.next(&key.genesis(EventId(Uuid::from_u128(9))), &original, &mut scratch));
        all.push(ChainKey::derive(b"another").next(&start, &original, &mut scratch));
        for (at, one) in all.iter().enumerate() {
            assert!(!all[..at].contains(one), "number {at} is like an earlier one");
        }
        assert_eq!(all[0], key.next(&start, &original, &mut scratch), "the same again is the same");
    }

    /// The chain is what offline verifiers recompute: it must not change between versions.
    #[test]
    fn the_chain_is_as_it_always_was() {
        let key = ChainKey::derive(b"a secret");
        let chain = key.next(&key.genesis(row(b"").event), &row(b"body"), &mut Vec::new());
        assert_eq!(chain.to_string(), "88a71d24a6db19205dd6a288b81d2e636a3990eccb90b03afa03904f44edf8d9");
        let checksum = Chain(key.snapshot(row(b"").event, Seq(1), &chain, b"snapshot"));
        assert_eq!(checksum.to_string(), "2be86a7935a6524ee2473fef83c0ad3d1ef1becad232f94e9eec0a9f9f7fd900");
    }

    #[test]
    fn a_secret_is_made_once_for_its_owner_only() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("journal.key");
        assert_eq!(Secret::read(&path).err().unwrap().kind(), io::ErrorKind::NotFound);
        let made = Secret::create(&path).unwrap();
        assert_eq!(Secret::read(&path).unwrap().bytes(), made.bytes());
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        }
        fs::write(&path, "not a key").unwrap();
        assert_eq!(Secret::read(&path).err().unwrap().kind(), io::ErrorKind::InvalidData);
        assert_ne!(Secret::create(&temp.path().join("other.key")).unwrap().bytes(), made.bytes());
    }
}
