//! Environment variables that resemble a key and are not read: `ONSALE_SERVER__LISTEN` with one underscore would be ignored
//! silently. Must never report what others set: a cluster sets variables of its
//! own for every service, also for one that is called `onsale`.

use super::BOOTSTRAP_ADMIN;
use super::reader::{PREFIX, name_of};
use crate::spelling::{nearest, plain};

/// What the names of ours begin with, however they are joined.
const OURS: &str = "onsale";
/// A cluster's variables for a service: `ONSALE_SERVICE_HOST`, `ONSALE_PORT_8080_TCP_ADDR`.
const SERVICES: [&str; 2] = ["ONSALE_SERVICE_", "ONSALE_PORT"];

/// Letters that a name may be off by, beside case and what joins its words: others' variables must not be taken for ours.
const OFF_BY: usize = 2;

/// Of `names`, those that are near one of ours, each with the one that was meant.
pub(super) fn near_misses(names: &[String], keys: &[(&'static str, &'static str)]) -> Vec<(String, String)> {
    let begins = |name: &&String| name.get(..OURS.len()).is_some_and(|start| start.eq_ignore_ascii_case(OURS));
    let is_a_services = |name: &&String| SERVICES.iter().any(|start| name.starts_with(start));
    let ours = names.iter().filter(begins).filter(|name| !is_a_services(name));
    ours.filter_map(|name| Some((name.clone(), close_to(name, keys)?))).collect()
}

/// The variable that was meant by one that begins as ours do, for the mistake that it is anyway: off by little, or another
/// key of the section that it names.
pub(super) fn meant_by(name: &str, keys: &[(&'static str, &'static str)]) -> Option<String> {
    close_to(name, keys).or_else(|| {
        let lower = name.get(PREFIX.len()..)?.to_ascii_lowercase();
        let (section, key) = lower.split_once("__")?;
        let (section, _) = keys.iter().find(|(known, _)| *known == section)?;
        let of_section = keys.iter().filter(|(known, _)| known == section).map(|(_, key)| *key);
        Some(name_of(section, nearest(key, of_section)?))
    })
}

/// The variable that differs by a letter or two, or by what joins its words.
fn close_to(name: &str, keys: &[(&'static str, &'static str)]) -> Option<String> {
    let wanted = rest(name);
    let off_by = |known: &String| strsim::damerau_levenshtein(&rest(known), &wanted);
    known(keys).into_iter().filter(|known| off_by(known) <= OFF_BY).min_by_key(off_by)
}

fn known(keys: &[(&'static str, &'static str)]) -> Vec<String> {
    let named = keys.iter().map(|(section, key)| name_of(section, key));
    named.chain([BOOTSTRAP_ADMIN.to_owned()]).collect()
}

fn rest(name: &str) -> String {
    plain(name).get(OURS.len()..).unwrap_or("").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYS: [(&str, &str); 4] =
        [("server", "listen"), ("storage", "path"), ("auth", "jwt_secret"), ("rate_limit", "enabled")];

    fn check(name: &str, expected: Option<&str>) {
        let found = near_misses(&[name.to_owned()], &KEYS);
        assert_eq!(found.first().map(|(_, meant)| meant.as_str()), expected, "{name}");
    }

    #[test]
    fn a_name_that_is_near_a_key_is_found_however_it_is_joined() {
        check("ONSALE_SERVER__LISTEN", Some("ONSALE__SERVER__LISTEN"));
        check("ONSALE_SERVER_LISTEN", Some("ONSALE__SERVER__LISTEN"));
        check("ONSALE-SERVER-LISTEN", Some("ONSALE__SERVER__LISTEN"));
        check("ONSALE.SERVER.LISTEN", Some("ONSALE__SERVER__LISTEN"));
        check("onsale__server__listen", Some("ONSALE__SERVER__LISTEN"));
        check("Onsale_Storage_Path", Some("ONSALE__STORAGE__PATH"));
        check("ONSALE_SERVER__LISTN", Some("ONSALE__SERVER__LISTEN"));
        check("ONSALE_AUTH__JWT_SECRETS", Some("ONSALE__AUTH__JWT_SECRET"));
        check("ONSALE_BOOTSTRAP_ADMINS", Some("ONSALE_BOOTSTRAP_ADMIN"));
        check("ONSALE_BOOTSTRAPADMIN", Some("ONSALE_BOOTSTRAP_ADMIN"));
    }

    #[test]
    fn what_others_set_is_none_of_ours() {
        for name in [
            "ONSALE_SERVICE_HOST",
            "ONSALE_SERVICE_PORT",
            "ONSALE_PORT",
            "ONSALE_PORT_8080_TCP_ADDR",
            "ONSALE_SECRET",
            "ONSALE_BINARY",
            "ONSALE_CHECK_WITHOUT",
            "ONSALE_SIM_SEEDS",
            "ONSALE_STORAGE",
            "ONSALE",
            "PATH",
            "온세일",
        ] {
            check(name, None);
        }
    }
}
