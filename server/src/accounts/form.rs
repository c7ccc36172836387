//! The form of e-mail addresses and telephone numbers. Must never check whether they exist.

use crate::http::{Mistakes, Object};
use onsale_engine::email::email_key;

/// The required `email`.
pub(super) fn email<'a>(body: &Object<'a>, mistakes: &mut Mistakes) -> Option<&'a str> {
    let email = body.text(mistakes, "email", 3..=254)?;
    // What it would be compared as must be an address too: there a wide at-sign is one.
    if !is_email(email) || !is_email(&email_key(email)) {
        mistakes.add("email", "an e-mail address");
        return None;
    }
    Some(email)
}

/// The optional `phone`.
pub(super) fn phone<'a>(body: &Object<'a>, mistakes: &mut Mistakes) -> Option<&'a str> {
    let phone = body.optional_text(mistakes, "phone", 3..=32)?;
    if !is_phone(phone) {
        mistakes.add("phone", "a telephone number: 3 to 15 digits, with + - . ( ) and spaces between");
        return None;
    }
    Some(phone)
}

/// One `@`, something before it, and a domain of at least two labels after it.
#[must_use]
pub fn is_email(text: &str) -> bool {
    let Some((local, domain)) = text.split_once('@') else { return false };
    let labels = |domain: &str| {
        domain.split('.').all(|label| !label.is_empty() && !label.starts_with('-') && !label.ends_with('-'))
    };
    let plain = |c: char| !c.is_whitespace() && !c.is_control() && !"@,;<>()[]\"\\".contains(c);
    (1..=64).contains(&local.len())
        && text.len() <= 254
        && local.chars().all(plain)
        && domain.contains('.')
        && domain.chars().all(|c| c.is_alphanumeric() || c == '-' || c == '.')
        && labels(domain)
}

fn is_phone(text: &str) -> bool {
    let digits = text.chars().filter(char::is_ascii_digit).count();
    (3..=15).contains(&digits)
        && text.chars().enumerate().all(|(at, c)| c.is_ascii_digit() || " -.()".contains(c) || (c == '+' && at == 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_have_a_name_and_a_domain() {
        for good in ["a@b.example", "first.last+tag@mail.example.org", "ü@bücher.example"] {
            assert!(is_email(good), "{good}");
        }
        for bad in [
            "",
            "a",
            "a@b",
            "@b.example",
            "a@@b.example",
            "a b@c.example",
            "a@b..example",
            "a@-b.example",
            "a@b.example ",
            "a@b@c.example",
        ] {
            assert!(!is_email(bad), "{bad}");
        }
    }

    #[test]
    fn what_an_address_is_compared_as_must_be_one() {
        let read = |email: &str| {
            let json = serde_json::json!({ "email": email });
            let mut mistakes = Mistakes::default();
            super::email(&Object::root(&json, &mut mistakes), &mut mistakes).is_some()
        };
        assert!(read("a@b.example") && read("ａ@b.example"));
        assert!(!read("a\u{ff20}x@b.example"), "two at-signs when compared");
        assert!(!read("\u{200b}@b.example"), "nothing before the at-sign when compared");
    }

    #[test]
    fn telephone_numbers_have_digits() {
        for good in ["+82 10-1234-5678", "010-1234-5678", "(02) 123.4567", "112"] {
            assert!(is_phone(good), "{good}");
        }
        for bad in ["", "call me", "12+34", "1234567890123456", "++123"] {
            assert!(!is_phone(bad), "{bad}");
        }
    }
}
