//! E-mail addresses as they are compared: one normal form for every storage and every check, so that two spellings which
//! a reader cannot distinguish are one address. Owns the form and its version; must never change what people have typed.

use icu_casemap::CaseMapper;
use icu_normalizer::ComposingNormalizer;
use icu_properties::CodePointMapData;
use icu_properties::props::GeneralCategory;

/// The version of [`email_key`]. A change of the form takes a higher one: storages bring their rows up to date by it.
pub const EMAIL_FORM: i64 = 1;

/// The form in which an address is compared: NFKC, without format characters (Unicode's category Cf: zero-width,
/// direction marks, soft hyphen), case folded, without blanks at its ends. Applied to its own result it changes nothing.
#[must_use]
pub fn email_key(email: &str) -> String {
    let email = email.trim();
    if email.is_ascii() {
        return email.to_ascii_lowercase();
    }
    // Compatibility forms may decompose into letters with case, and folding may undo a composition: twice is enough
    // (Unicode 3.13, D146, asks for the same two rounds).
    let twice = folded(&folded(email));
    twice.trim().to_owned()
}

fn folded(text: &str) -> String {
    let visible: String = text.chars().filter(|c| !is_format(*c)).collect();
    let nfkc = ComposingNormalizer::new_nfkc();
    nfkc.normalize(&CaseMapper::new().fold_string(&nfkc.normalize(&visible))).into_owned()
}

fn is_format(c: char) -> bool {
    CodePointMapData::<GeneralCategory>::new().get(c) == GeneralCategory::Format
}

/// The form in which addresses were compared before [`EMAIL_FORM`] 1. An account that could not take the normal form,
/// because an older one has it, is still found by this one.
#[must_use]
pub fn former_email_key(email: &str) -> String {
    email.trim().to_lowercase()
}

/// Text in NFC, as passwords are hashed.
#[must_use]
pub fn composed(text: &str) -> String {
    crate::text::composed(text).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(one: &str, other: &str) {
        assert_eq!(email_key(one), email_key(other), "{one:?} and {other:?}");
    }

    #[test]
    fn spellings_that_look_alike_are_one_address() {
        check("ada@example.com", " ADA@Example.COM ");
        check("ada@example.com", "a\u{200b}da@example.com");
        check("ada@example.com", "ada\u{2060}\u{00ad}@exam\u{feff}ple.com");
        check("ada@example.com", "\u{202e}ada\u{202c}@example.com");
        check("ada@example.com", "ａｄａ＠example．com");
        check("ünal@example.com", "u\u{308}nal@example.com");
        check("STRASSE@example.com", "straße@example.com");
        check("ΟΔΟΣ@example.com", "οδος@example.com");
        check("ﬁne@example.com", "fine@example.com");
        assert_ne!(email_key("ada@example.com"), email_key("adá@example.com"));
        assert_ne!(email_key("a.da@example.com"), email_key("ada@example.com"));
    }

    proptest! {
        #[test]
        fn the_form_is_its_own_form(text in "\\PC{0,24}") {
            let once = email_key(&text);
            prop_assert_eq!(email_key(&once), once);
        }

        #[test]
        fn case_and_composition_do_not_matter(text in "[a-zäöüßéΩσıİ]{1,12}") {
            let key = email_key(&text);
            let decomposed = icu_normalizer::DecomposingNormalizer::new_nfd().normalize(&text).into_owned();
            prop_assert_eq!(email_key(&decomposed), key);
        }
    }
}
