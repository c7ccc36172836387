//! Values of `log.level`: a level, and directives for parts of the program. The filter's own parser takes any other word for
//! a target, and without a level for everything else it silences everything else; both are mistakes here, so that a typing error
//! does not silence the log. Must never be more lenient than what reads the directives.

use tracing_subscriber::EnvFilter;

const LEVELS: [&str; 6] = ["error", "warn", "info", "debug", "trace", "off"];
/// What lines of this program name as their target, or begin with and go on after `::`.
const TARGETS: [&str; 4] = ["onsale", "onsale_engine", "onsale_adapters", "onsale_server"];

/// Whether these directives are ones that do something.
pub(super) fn check(text: &str) -> Result<(), String> {
    let directives: Vec<&str> = text.split(',').map(str::trim).collect();
    let bases = directives.iter().filter(|directive| !directive.contains(['=', '[']));
    let mut bases = bases.copied();
    match (bases.next(), bases.next()) {
        (None, _) => {
            let example = format!("info,{text}");
            return Err(format!("must begin with a level for everything else, such as {example:?}"));
        }
        (Some(_), Some(second)) => {
            return Err(format!("{second:?} is a second level for everything: must be target={second}"));
        }
        (Some(base), None) => level(base)?,
    }
    directives.iter().try_for_each(|directive| self::directive(directive))?;
    EnvFilter::try_new(text).map(drop).map_err(|error| format!("cannot be read: {error}"))
}

fn level(word: &str) -> Result<(), String> {
    if LEVELS.iter().any(|level| level.eq_ignore_ascii_case(word)) {
        return Ok(());
    }
    Err(format!("{word:?} is no level: must be one of {}", LEVELS.join(", ")))
}

/// `target=level`, where the target may name a span and its fields in brackets.
fn directive(text: &str) -> Result<(), String> {
    let Some((target, of)) = text.rsplit_once('=').filter(|(_, of)| !of.contains([']', '}'])) else {
        return if text.contains('[') { Err(format!("{text:?} names no level: must end with =level")) } else { Ok(()) };
    };
    level(of)?;
    let target = target.split('[').next().unwrap_or_default();
    let first = target.split("::").next().unwrap_or_default();
    let is_path = target.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b':');
    if !is_path || first.is_empty() && !text.contains('[') {
        return Err(format!("{target:?} is no target: must be a path such as onsale::access"));
    }
    if first.starts_with("onsale") && !TARGETS.contains(&first) {
        return Err(format!("no line has the target {target:?}: it must begin with one of {}", TARGETS.join(", ")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn what_filters_is_taken() {
        let good = [
            "info",
            "DEBUG",
            "info,onsale::access=debug",
            "warn,onsale_server=trace,hyper=off",
            "info,[request]=trace",
        ];
        for text in good {
            assert_eq!(check(text), Ok(()), "{text}");
        }
    }

    #[test]
    fn what_would_silence_the_log_is_a_mistake() {
        let because = |text: &str, part: &str| {
            let reason = check(text).err().unwrap_or_default();
            assert!(reason.contains(part), "{text}: {reason:?}");
        };
        because("loud", "\"loud\" is no level");
        because("debg", "\"debg\" is no level");
        because("", "\"\" is no level");
        because("info,", "second level");
        because("info,debug", "second level");
        because("onsale::access=debug", "such as \"info,onsale::access=debug\"");
        because("info,onsale::access=loud", "\"loud\" is no level");
        because("info,onsale_sever=debug", "no line has the target");
        because("info,onsale access=debug", "no target");
        because("info,=debug", "no target");
        because("info,[request]", "names no level");
    }
}
