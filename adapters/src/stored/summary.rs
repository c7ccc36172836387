//! The stored form of what is kept of a sale that is over. Its integrity is its keeper's matter; this only refuses what it
//! cannot read.

use super::DecodeError;
use super::wire::{Input, Stored, put_varint};
use onsale_engine::sale::draw::{DrawHash, DrawSeed, DrawView};
use onsale_engine::sale::{SaleSummary, SeatCounts};

/// The commitment, the cohort's root and size, and the seed, as far as they are known.
type StoredDraw = (DrawHash, (Option<(DrawHash, u64)>, Option<DrawSeed>));

/// The version that is written.
const VERSION: u8 = 2;
/// The one before seats could be kept out of a sale.
const FIRST: u8 = 1;

/// The stored form of a summary.
#[must_use]
pub fn encode_summary(summary: &SaleSummary) -> Vec<u8> {
    let SaleSummary { seq, phase, config, plan, steering, admitted_total, categories, draw } = summary;
    let mut out = vec![VERSION];
    seq.put(&mut out);
    phase.put(&mut out);
    config.put(&mut out);
    plan.put(&mut out);
    steering.put(&mut out);
    admitted_total.put(&mut out);
    put_varint(&mut out, categories.len() as u64);
    for (name, SeatCounts { total, available, held, sold, blocked }) in categories {
        name.put(&mut out);
        [total, available, held, sold, blocked].into_iter().for_each(|count| count.put(&mut out));
    }
    let draw = draw.map(|DrawView { commitment, cohort, seed }| (commitment, (cohort, seed)));
    draw.put(&mut out);
    out
}

/// Reads a summary back.
///
/// # Errors
/// [`DecodeError`]; any bytes are answered, none panic.
pub fn decode_summary(bytes: &[u8]) -> Result<SaleSummary, DecodeError> {
    let mut input = Input::new(bytes);
    match input.byte()? {
        VERSION => {}
        FIRST => input.is_before_blocking(),
        other => return Err(DecodeError::malformed(format!("a summary of version {other} is not known"))),
    }
    let input = &mut input;
    let (seq, phase, mut config) = (Stored::take(input)?, Stored::take(input)?, Stored::take(input)?);
    let (plan, steering, admitted_total) = (Stored::take(input)?, Stored::take(input)?, Stored::take(input)?);
    shrink(&mut config);
    let categories = (0..input.length()?).map(|_| {
        let (name, total, available) = (Stored::take(input)?, Stored::take(input)?, Stored::take(input)?);
        let (held, sold) = (Stored::take(input)?, Stored::take(input)?);
        let blocked = if input.knows_blocking() { Stored::take(input)? } else { 0 };
        Ok((name, SeatCounts { total, available, held, sold, blocked }))
    });
    let categories = categories.collect::<Result<Vec<_>, DecodeError>>()?.into_boxed_slice();
    let draw: Option<StoredDraw> = Stored::take(input)?;
    input.end()?;
    let draw = draw.map(|(commitment, (cohort, seed))| DrawView { commitment, cohort, seed });
    Ok(SaleSummary { seq, phase, config, plan, steering, admitted_total, categories, draw })
}

/// Ten thousand of them stay in memory.
fn shrink(config: &mut onsale_engine::sale::SaleConfig) {
    config.prices.shrink_to_fit();
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]
    use super::*;
    use onsale_engine::fakes::small_config;
    use onsale_engine::id::{PlanHash, Seq};
    use onsale_engine::money::Amount;
    use onsale_engine::sale::{SalePhase, Steering};
    use onsale_engine::time::Timestamp;

    fn summary() -> SaleSummary {
        let mut config = small_config(Timestamp::from_secs(1_780_000_000));
        config.prices[1] = None;
        let steering = Steering { message: Some("soon".into()), ..Steering::initial(&config.admission) };
        let counts = |sold| SeatCounts { total: 25, available: 20 - sold, held: 0, sold, blocked: 5 };
        let (commitment, root, seed) = (DrawHash([1; 32]), DrawHash([2; 32]), DrawSeed([3; 32]));
        SaleSummary {
            seq: Seq(300),
            phase: SalePhase::Cancelled,
            config,
            plan: PlanHash([7; 32]),
            steering,
            admitted_total: 12,
            categories: [("VIP".into(), counts(20)), ("STANDARD".into(), counts(3))].into(),
            draw: Some(DrawView { commitment, cohort: Some((root, 9)), seed: Some(seed) }),
        }
    }

    #[test]
    fn a_summary_is_read_back_and_nothing_shorter_or_longer() {
        let bytes = encode_summary(&summary());
        assert_eq!(decode_summary(&bytes).unwrap(), summary());
        let without = SaleSummary { draw: None, ..summary() };
        assert_eq!(decode_summary(&encode_summary(&without)).unwrap(), without);
        for length in 0..bytes.len() {
            assert!(decode_summary(&bytes[..length]).is_err(), "{length} bytes of {}", bytes.len());
        }
        assert!(decode_summary(&[&bytes[..], &[0]].concat()).is_err());
        assert!(decode_summary(&[3]).is_err(), "a version that is not known");
    }

    fn unhex(sample: &str) -> Vec<u8> {
        (0..sample.len()).step_by(2).map(|at| u8::from_str_radix(&sample[at..at + 2], 16).unwrap()).collect()
    }

    #[test]
    fn the_second_form_is_read_and_written_as_ever() {
        let sample = SECOND_FORM.concat();
        let written: String = encode_summary(&summary()).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(written, sample, "a sample of this version would be");
        assert_eq!(decode_summary(&unhex(&sample)).unwrap(), summary());
    }

    /// It knows no seats that are not for sale.
    #[test]
    fn the_first_form_is_still_read() {
        let mut before = summary();
        before.config.prices[1] = Some(Amount(90_000));
        for (_, counts) in &mut before.categories {
            (counts.total, counts.blocked) = (counts.total - counts.blocked, 0);
        }
        assert_eq!(decode_summary(&unhex(&FIRST_FORM.concat())).unwrap(), before);
    }

    /// As version 2 was written.
    const SECOND_FORM: [&str; 5] = [
        "02ac0203000652e68bb34000000652faa98aa0000006530ec76200004b52570201e0a712000480c6868f0100000ad08603",
        "00808c8d9e0280c6868f0100001e0007070707070707070707070707070707070707070707070707070707070707070a00",
        "0000000104736f6f6e0c02035649501900001405085354414e444152441911000305010101010101010101010101010101",
        "01010101010101010101010101010101010101020202020202020202020202020202020202020202020202020202020202",
        "020209010303030303030303030303030303030303030303030303030303030303030303",
    ];

    /// As version 1 was written.
    const FIRST_FORM: [&str; 6] = [
        "01ac0203000652e68bb34000000652faa98aa0000006530ec76200004b525702e0a712a0fe0a0480c6868f0100000a",
        "d0860300808c8d9e0280c6868f0100001e0707070707070707070707070707070707070707070707070707070707070707",
        "0a000000000104736f6f6e0c020356495014000014085354414e4441524414110003",
        "01010101010101010101010101010101010101010101010101010101010101010101",
        "020202020202020202020202020202020202020202020202020202020202020209",
        "010303030303030303030303030303030303030303030303030303030303030303",
    ];
}
