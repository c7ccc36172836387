//! Text in one form: NFC (Unicode normal form C), in which two spellings of the same characters are the same bytes. Must
//! never change what text means, as compatibility forms do.

use icu_normalizer::{ComposingNormalizer, DecomposingNormalizer};
use std::borrow::Cow;

/// The text in NFC; borrowed where it is that already, as nearly all text is.
#[must_use]
pub fn composed(text: &str) -> Cow<'_, str> {
    if text.is_ascii() { Cow::Borrowed(text) } else { ComposingNormalizer::new_nfc().normalize(text) }
}

/// Whether these bytes are UTF-8 in NFC.
#[must_use]
pub fn is_composed(bytes: &[u8]) -> bool {
    bytes.is_ascii() || std::str::from_utf8(bytes).is_ok_and(|text| ComposingNormalizer::new_nfc().is_normalized(text))
}

/// What should be JSON, without the byte order mark that some editors put before it; whether it is UTF-8 is for the parser to
/// say. `None` for UTF-16, also without a mark: JSON begins with an ASCII character, which has a zero byte beside it there.
#[must_use]
pub fn json_text(bytes: &[u8]) -> Option<&[u8]> {
    match bytes {
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] | [0, _, ..] | [_, 0, ..] => None,
        [0xef, 0xbb, 0xbf, text @ ..] | text => Some(text),
    }
}

/// The text in NFD, as some systems write names of files: for what was stored before all input was composed.
#[must_use]
pub fn decomposed(text: &str) -> Cow<'_, str> {
    if text.is_ascii() { Cow::Borrowed(text) } else { DecomposingNormalizer::new_nfd().normalize(text) }
}

/// Whether two texts are the same but for how their characters are composed.
#[must_use]
pub fn same(one: &str, other: &str) -> bool {
    one == other || composed(one) == composed(other)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn hangul_is_the_same_however_it_is_written() {
        let (nfc, nfd) = ("특석", "\u{1110}\u{1173}\u{11a8}\u{1109}\u{1165}\u{11a8}");
        assert_ne!(nfc, nfd);
        assert_eq!((composed(nfd), decomposed(nfc)), (Cow::Borrowed(nfc), Cow::Borrowed(nfd)));
        assert!(same(nfc, nfd) && !same(nfc, "일반석"));
        assert!(is_composed(nfc.as_bytes()) && !is_composed(nfd.as_bytes()) && !is_composed(b"\xff"));
        assert!(matches!(composed(nfc), Cow::Borrowed(_)));
        assert_eq!(composed("ﬁ"), "ﬁ", "compatibility characters stay");
    }

    proptest! {
        #[test]
        fn composing_is_done_once_and_undoes_decomposing(text in "\\PC{0,24}") {
            let once = composed(&text).into_owned();
            prop_assert!(is_composed(once.as_bytes()));
            let apart = decomposed(&text).into_owned();
            prop_assert_eq!(composed(&apart), once);
        }
    }
}
