//! What a new password must be: long enough for the role, none of the most common ones, and neither the address nor the name
//! that it belongs to. Must never be applied to a password that is only compared.

use onsale_engine::email::{composed, email_key};
use onsale_engine::ports::accounts::Role;
use std::collections::HashSet;
use std::sync::LazyLock;

/// Characters of a buyer's password at the least.
const BUYER_CHARS: usize = 8;
/// The same of an administrator's, who can do more and is not limited by a second factor.
const ADMIN_CHARS: usize = 15;
/// Characters of a password at the most: hashing takes time for each.
pub const MAX_CHARS: usize = 128;

/// Lines that begin so are no passwords.
const REMARK: &str = "# ";

static COMMON: LazyLock<HashSet<&str>> =
    LazyLock::new(|| include_str!("common_passwords.txt").lines().filter(|line| !line.starts_with(REMARK)).collect());

/// Whether a password may be set by somebody of this role, address and name.
///
/// # Errors
/// What is wrong with it, without the password.
pub fn check(password: &str, role: Role, email: &str, name: &str) -> Result<(), String> {
    let password = composed(password);
    let least = match role {
        Role::User => BUYER_CHARS,
        Role::Admin => ADMIN_CHARS,
    };
    if !(least..=MAX_CHARS).contains(&password.chars().count()) {
        return Err(format!("{least} to {MAX_CHARS} characters"));
    }
    if COMMON.contains(password.to_lowercase().as_str()) {
        return Err("none of the most common passwords".to_owned());
    }
    let key = email_key(&password);
    let address = email_key(email);
    let local = address.split_once('@').map_or("", |(local, _)| local);
    if [address.as_str(), local, &email_key(name)].contains(&key.as_str()) {
        return Err("not the e-mail address and not the name".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mistake_of(password: &str, role: Role) -> String {
        check(password, role, "someone.else@example.org", "Example Person").err().unwrap_or_default()
    }

    #[test]
    fn length_is_counted_in_characters_of_nfc_by_role() {
        assert_eq!(mistake_of("seven ch", Role::User), "");
        assert_eq!(mistake_of("seven c", Role::User), "8 to 128 characters");
        assert_eq!(mistake_of("seven ch", Role::Admin), "15 to 128 characters");
        assert_eq!(mistake_of("fifteen letters", Role::Admin), "");
        assert_eq!(mistake_of("fourteen lette", Role::Admin), "15 to 128 characters");
        // Four letters with four marks are four characters.
        assert_eq!(mistake_of("u\u{308}u\u{308}u\u{308}u\u{308}", Role::User), "8 to 128 characters");
        assert_eq!(mistake_of(&"ü".repeat(128), Role::User), "");
        assert_eq!(mistake_of(&"ü".repeat(129), Role::User), "8 to 128 characters");
    }

    #[test]
    fn common_ones_are_refused_whatever_their_case() {
        for common in ["password", "PassWord1", "iloveyou1", "1234567890", "#1stunna"] {
            assert_eq!(mistake_of(common, Role::User), "none of the most common passwords", "{common}");
        }
        assert!(COMMON.len() > 8000 && COMMON.iter().all(|word| word.chars().count() >= BUYER_CHARS));
        assert!(COMMON.iter().all(|word| *word == word.to_lowercase()));
    }

    #[test]
    fn the_address_and_the_name_are_no_passwords() {
        for own in ["Someone.Else@Example.org", "SOMEONE.ELSE", "example person", "someone.e\u{200b}lse"] {
            assert_eq!(mistake_of(own, Role::User), "not the e-mail address and not the name", "{own:?}");
        }
        assert_eq!(mistake_of("someone.else.entirely", Role::User), "");
    }
}
