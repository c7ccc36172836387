//! Every `--help` text: each command and flag is described, numbers say their unit, bounds and default, the bounds are true, and the
//! words are plain.

use clap::builder::ValueParser;
use clap::{Arg, ArgAction, Command, CommandFactory, Parser};
use onsale_benches::flags::{CompareFlags, CrashFlags, DatabasesFlags, FootprintFlags, GrowthFlags};
use onsale_benches::load;
use onsale_server::cli::Cli;
use std::any::TypeId;

/// What a number may be counted in.
const UNITS: [&str; 21] = [
    "seconds",
    "milliseconds",
    "days",
    "percent",
    "mib",
    "per second",
    "buyers",
    "seats",
    "events",
    "rows",
    "connections",
    "sockets",
    "places",
    "rounds",
    "threads",
    "clients",
    "trials",
    "requests",
    "facts",
    "thousands",
    "port",
];
/// Flags whose name says that they are durations, by part of it.
const DURATIONS: [&str; 12] =
    ["seconds", "millis", "timeout", "after", "within", "arrive", "opens", "choose", "pay", "p95", "days", "duration"];
/// Any whole number will do: there is nothing to bound.
const UNBOUNDED: [&str; 2] = ["seed", "pid"];
/// Words and phrases with another meaning in plain English, or none.
const STRANGE_WORDS: [&str; 38] = [
    "filing",
    "filer",
    "telling",
    "tell",
    "tells",
    "told",
    "look",
    "looks",
    "looked",
    "seldom",
    "mended",
    "standing",
    "heard",
    "unhear",
    "hears",
    "errand",
    "shelf",
    "seals",
    "patience",
    "patiently",
    "hand over",
    "crowded",
    "pressing",
    "passed over",
    "anew",
    "wish",
    "deed",
    "born",
    "whoever",
    "in turn",
    "walk",
    "walks",
    "news",
    "is told",
    "hold back",
    "said no",
    "let go",
    "dice",
];

/// A command line, and what it says to arguments that are wrong.
struct Binary {
    command: Command,
    /// Every mistake, or none.
    mistakes: fn(&[String]) -> Vec<String>,
}

fn by_clap<P: Parser>() -> Binary {
    let mistakes = |args: &[String]| P::try_parse_from(args).err().map(|error| error.to_string()).into_iter().collect();
    Binary { command: P::command(), mistakes }
}

fn all() -> Vec<Binary> {
    let load = Binary {
        command: load::Flags::command(),
        mistakes: |args| match load::Flags::try_parse_from(args) {
            Ok(flags) => flags.check().err().unwrap_or_default(),
            Err(error) => vec![error.to_string()],
        },
    };
    let mut all = vec![by_clap::<Cli>(), load, by_clap::<CompareFlags>(), by_clap::<CrashFlags>()];
    all.extend([by_clap::<DatabasesFlags>(), by_clap::<FootprintFlags>(), by_clap::<GrowthFlags>()]);
    all
}

/// A command and everything below it, each with the words that lead to it.
fn commands(path: &str, command: &Command) -> Vec<(String, Command)> {
    let mut found = vec![(path.to_owned(), command.clone())];
    for below in command.get_subcommands() {
        found.extend(commands(&format!("{path} {}", below.get_name()), below));
    }
    found
}

fn help_of(arg: &Arg) -> String {
    arg.get_long_help().or(arg.get_help()).map(ToString::to_string).unwrap_or_default()
}

fn is_number(parser: &ValueParser) -> bool {
    let numbers = [
        TypeId::of::<u8>(),
        TypeId::of::<u16>(),
        TypeId::of::<u32>(),
        TypeId::of::<u64>(),
        TypeId::of::<usize>(),
        TypeId::of::<f64>(),
    ];
    numbers.iter().any(|number| parser.type_id() == *number)
}

/// `(A to B)`, `(A to B each)`: what stands first in the text.
fn bounds(help: &str) -> Option<(u64, u64)> {
    help.split('(').skip(1).find_map(|rest| {
        let (from, rest) = rest.split_once(" to ")?;
        let to: String = rest.chars().take_while(char::is_ascii_digit).collect();
        Some((from.parse().ok()?, to.parse().ok()?))
    })
}

fn has_word(text: &str, word: &str) -> bool {
    let is_edge = |c: Option<char>| c.is_none_or(|c| !c.is_alphanumeric());
    let text = text.to_lowercase();
    text.match_indices(word)
        .any(|(at, _)| is_edge(text[..at].chars().next_back()) && is_edge(text[at + word.len()..].chars().next()))
}

/// What is wrong with the text of one flag or argument.
fn mistakes_of(arg: &Arg) -> Vec<&'static str> {
    let (name, help, mut found) = (arg.get_id().as_str(), help_of(arg), Vec::new());
    if help.split_whitespace().count() < 2
        || !help.starts_with(|c: char| c.is_uppercase() || c.is_numeric() || help.contains(": "))
    {
        found.push("no text");
    }
    let takes_value = matches!(arg.get_action(), ArgAction::Set | ArgAction::Append);
    let has_default = !arg.get_default_values().is_empty() || has_word(&help, "default");
    if takes_value && !arg.is_required_set() && !has_default {
        found.push("no default");
    }
    let is_number = takes_value && is_number(arg.get_value_parser()) && !UNBOUNDED.contains(&name);
    if is_number && !UNITS.iter().any(|unit| has_word(&help, unit)) {
        found.push("no unit");
    }
    if is_number && bounds(&help).is_none() {
        found.push("no bounds");
    }
    let is_duration = is_number && name.split('_').any(|part| DURATIONS.contains(&part));
    if is_duration && !["seconds", "milliseconds", "days", "per second"].iter().any(|unit| has_word(&help, unit)) {
        found.push("no unit of time");
    }
    found
}

#[test]
fn every_command_and_flag_says_what_it_is_its_unit_bounds_and_default() {
    let mut wrong = Vec::new();
    for Binary { command, .. } in all() {
        for (path, mut command) in commands(command.get_name(), &command) {
            if command.get_about().is_none_or(|about| about.to_string().split_whitespace().count() < 4) {
                wrong.push(format!("{path}: no text"));
            }
            for arg in command.get_arguments() {
                wrong.extend(
                    mistakes_of(arg)
                        .iter()
                        .map(|mistake| format!("{path} {}: {mistake}: {}", arg.get_id(), help_of(arg))),
                );
            }
            for text in [command.render_help(), command.render_long_help()].map(|text| text.to_string()) {
                assert!(text.contains("Usage:"), "{text}");
                wrong.extend(
                    STRANGE_WORDS.iter().filter(|word| has_word(&text, word)).map(|word| format!("{path}: \"{word}\"")),
                );
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Arguments that a command cannot do without.
fn required(path: &str) -> &'static [&'static str] {
    match path {
        "onsale backup" => &["--into=backups"],
        "onsale-compare ceiling" => &["--port=1", "--sample=file"],
        "onsale-load" => &["seats", "--secret=a secret that is long enough for anybody", "--buyers=1"],
        _ => &[],
    }
}

#[test]
fn the_bounds_that_a_flag_names_are_those_that_it_has() {
    let (mut wrong, mut checked) = (Vec::new(), 0);
    for Binary { command, mistakes } in all() {
        for (path, command) in commands(command.get_name(), &command) {
            for arg in command.get_arguments() {
                let (Some(flag), Some((from, to))) = (arg.get_long(), bounds(&help_of(arg))) else { continue };
                if !is_number(arg.get_value_parser()) {
                    continue;
                }
                checked += 1;
                let is_refused = |value: i128| {
                    let own = format!("--{flag}=");
                    let others = required(&path)
                        .iter()
                        .filter(|other| !other.starts_with(&own))
                        .map(|other| (*other).to_owned());
                    let args: Vec<String> =
                        path.split(' ').map(str::to_owned).chain(others).chain([format!("{own}{value}")]).collect();
                    // Flags that are wrong together are reported by both names; a flag that is wrong by itself by its own.
                    mistakes(&args)
                        .iter()
                        .any(|text| text.starts_with(&format!("--{flag}: ")) || text.contains(&format!("'--{flag} ")))
                };
                let (from, to) = (i128::from(from), i128::from(to));
                for (value, expected) in [(from - 1, true), (from, false), (to, false), (to + 1, true)] {
                    if is_refused(value) != expected {
                        wrong
                            .push(format!("{path} --{flag}={value} is {}", if expected { "taken" } else { "refused" }));
                    }
                }
            }
        }
    }
    assert!(checked >= 45, "{checked}");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_text_that_says_too_little_is_found() {
    let number =
        |help: &'static str| Arg::new("seconds").long("seconds").value_parser(clap::value_parser!(u64)).help(help);
    assert_eq!(mistakes_of(&number("")), ["no text", "no default", "no unit", "no bounds", "no unit of time"]);
    assert_eq!(mistakes_of(&number("How long it lasts. Default: 7.")), ["no unit", "no bounds", "no unit of time"]);
    assert_eq!(mistakes_of(&number("How long it lasts, in seconds (1 to 9).")), ["no default"]);
    assert!(mistakes_of(&number("How long it lasts, in seconds (1 to 9). Default: 7.")).is_empty());
    assert!(has_word("One looks, twice", "looks") && !has_word("outlooks", "looks"));
    assert_eq!((bounds("Seats (2 to 40 each)"), bounds("Seats (a few)")), (Some((2, 40)), None));
}
