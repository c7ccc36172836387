//! Reading an event's journal row by row: each is checked against the chain and decoded, whatever storage it comes
//! from. Owns what counts as damage; must never read storage itself.

use crate::chain::{Chain, ChainKey, Row};
use crate::stored::{DecodeError, FactKind, decode_body, decode_snapshot, decode_summary};
use onsale_engine::id::{Epoch, EventId, Seq};
use onsale_engine::ports::{Plans, ReadError};
use onsale_engine::sale::{Entry, SaleSnapshot, SaleSummary};
use onsale_engine::time::Timestamp;

/// A snapshot whose checksum is right.
pub(crate) struct Kept {
    pub(crate) seq: Seq,
    pub(crate) chain: Chain,
    pub(crate) body: Vec<u8>,
}

impl Kept {
    /// The snapshot of a stored row; none, with a warning in the log, if its checksum is wrong.
    pub(crate) fn check(
        key: &ChainKey,
        event: EventId,
        seq: Seq,
        (chain, checksum, body): (&[u8], &[u8], Vec<u8>),
    ) -> Option<Self> {
        let chain = Chain::from_slice(chain).filter(|chain| key.snapshot(event, seq, chain, &body)[..] == *checksum);
        if chain.is_none() {
            tracing::warn!(event_id = %event, seq = seq.0, "a snapshot is damaged and skipped");
        }
        chain.map(|chain| Self { seq, chain, body })
    }

    /// What is in it; none, with a warning in the log, if that cannot be read.
    ///
    /// # Errors
    /// [`ReadError::Unavailable`] when its plan could not be looked up.
    pub(crate) fn snapshot(&self, event: EventId, plans: &dyn Plans) -> Result<Option<SaleSnapshot>, ReadError> {
        match decode_snapshot(&self.body, plans) {
            Ok(snapshot) if snapshot.seq == self.seq => return Ok(Some(snapshot)),
            Ok(_) => {
                tracing::warn!(event_id = %event, seq = self.seq.0, "a snapshot is of another position and skipped")
            }
            Err(DecodeError::Plans(error)) => return Err(error),
            Err(error @ (DecodeError::Malformed(_) | DecodeError::PlanMissing(_))) => {
                tracing::warn!(event_id = %event, seq = self.seq.0, %error, "a snapshot cannot be read and is skipped");
            }
        }
        Ok(None)
    }
}

/// A stored summary, unchecked.
pub(crate) struct KeptSummary<'r> {
    pub(crate) event: EventId,
    pub(crate) seq: i64,
    pub(crate) epoch: i64,
    pub(crate) chain: &'r [u8],
    pub(crate) checksum: &'r [u8],
    pub(crate) body: &'r [u8],
}

impl KeptSummary<'_> {
    /// The summary, and where the journal ended when it was kept; none, with a warning in the log, if it is damaged.
    pub(crate) fn check(&self, key: &ChainKey) -> Option<(Chain, SaleSummary)> {
        let (event, seq, epoch) = (self.event, Seq(self.seq.cast_unsigned()), Epoch(self.epoch.cast_unsigned()));
        let chain = Chain::from_slice(self.chain)?;
        let is_whole = key.summary(event, seq, epoch, &chain, self.body)[..] == *self.checksum;
        let summary = decode_summary(self.body).ok().filter(|summary| is_whole && summary.seq == seq);
        if summary.is_none() {
            tracing::warn!(event_id = %event, seq = seq.0, "a summary is damaged and skipped");
        }
        summary.map(|summary| (chain, summary))
    }
}

/// A row as it is stored, unchecked.
pub(crate) struct StoredRow<'r> {
    pub(crate) seq: i64,
    pub(crate) epoch: i64,
    pub(crate) at: i64,
    pub(crate) kind: i64,
    pub(crate) body: &'r [u8],
    pub(crate) chain: &'r [u8],
}

/// How far a journal has been read and checked.
pub(crate) struct JournalCursor {
    pub(crate) event: EventId,
    pub(crate) seq: Seq,
    chain: Chain,
    pub(crate) rows: u64,
    scratch: Vec<u8>,
}

impl JournalCursor {
    /// A cursor before the row after `seq`, to report damage there.
    pub(crate) fn before(event: EventId, seq: Seq) -> Self {
        Self { event, seq, chain: Chain([0; 32]), rows: 0, scratch: Vec::new() }
    }

    /// A cursor before the row after `after`, whose own stored chain is `stored`.
    ///
    /// # Errors
    /// [`ReadError::Damaged`] when that row is missing, or a snapshot says otherwise.
    pub(crate) fn start(
        event: EventId,
        after: Seq,
        stored: Option<Chain>,
        anchors: &[Kept],
    ) -> Result<Self, ReadError> {
        let before = Self::before(event, Seq(after.0.saturating_sub(1)));
        let chain = stored.ok_or_else(|| before.damaged("it is missing"))?;
        if anchors.iter().any(|anchor| anchor.seq == after && anchor.chain != chain) {
            return Err(before.damaged(OTHER_CHAIN));
        }
        Ok(Self { seq: after, chain, scratch: Vec::with_capacity(512), ..before })
    }

    /// The next row is damaged.
    pub(crate) fn damaged(&self, reason: impl Into<String>) -> ReadError {
        ReadError::Damaged { event: self.event, seq: self.seq.next(), reason: reason.into() }
    }

    /// Checks and decodes the row that must follow.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub(crate) fn take(
        &mut self,
        row: &StoredRow<'_>,
        key: &ChainKey,
        plans: &dyn Plans,
        anchors: &[Kept],
    ) -> Result<Entry, ReadError> {
        let (seq, epoch, at) = (Seq(row.seq.cast_unsigned()), Epoch(row.epoch.cast_unsigned()), Timestamp(row.at));
        if seq != self.seq.next() {
            return Err(self.damaged("it is missing"));
        }
        let strange = || self.damaged(format!("no fact has the kind {}", row.kind));
        let number = u8::try_from(row.kind).map_err(|_| strange())?;
        let covered = Row { event: self.event, seq, epoch, at, kind: number, body: row.body };
        let mut scratch = std::mem::take(&mut self.scratch);
        let expected = key.next(&self.chain, &covered, &mut scratch);
        self.scratch = scratch;
        if expected.0[..] != *row.chain {
            return Err(self.damaged("it does not fit its chain"));
        }
        let strange = || self.damaged(format!("no fact has the kind {}", row.kind));
        let kind = FactKind::from_number(number).ok_or_else(strange)?;
        let (trace, fact) = decode_body(kind, row.body, plans).map_err(|error| match error {
            DecodeError::Plans(error) => error,
            DecodeError::Malformed(_) | DecodeError::PlanMissing(_) => self.damaged(error.to_string()),
        })?;
        if anchors.iter().any(|anchor| anchor.seq == seq && anchor.chain != expected) {
            return Err(self.damaged(OTHER_CHAIN));
        }
        (self.seq, self.chain) = (seq, expected);
        self.rows += 1;
        Ok(Entry { seq, epoch, at, trace, fact })
    }

    /// Where there are no more rows: answers how many there were.
    ///
    /// # Errors
    /// [`ReadError::Damaged`] when a snapshot was taken after a row that is not there.
    pub(crate) fn finish(self, anchors: &[Kept]) -> Result<u64, ReadError> {
        match anchors.iter().map(|anchor| anchor.seq).max() {
            Some(newest) if newest > self.seq => {
                Err(self.damaged(format!("it is missing, though a snapshot was taken after {}", newest.0)))
            }
            Some(_) | None => Ok(self.rows),
        }
    }
}

const OTHER_CHAIN: &str = "its chain is not the one that a snapshot was taken at";
