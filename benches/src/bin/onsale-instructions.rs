//! `onsale-instructions`: what the hot path takes in instructions, beside what is kept; fails when it is more than that.

use clap::{Parser, Subcommand};
use onsale_benches::instructions::{Comparison, CountError, Kept, KeptError, PATHS, Path, count, version};
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::{Command, ExitCode};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Counts the instructions of a hold, a refused hold and a status read under valgrind, in the domain and over HTTP, and
/// compares them with those that are kept.
#[derive(Parser)]
#[command(version)]
struct Args {
    /// Writes what is counted instead of comparing it.
    #[arg(long)]
    keep: bool,
    /// The file of what is kept.
    #[arg(long, default_value = "benches/instructions.toml")]
    file: PathBuf,
    #[command(subcommand)]
    walk: Option<Walk>,
}

#[derive(Subcommand)]
enum Walk {
    /// Walks one path and counts nothing: what is run under valgrind.
    Walk {
        /// The path's name.
        path: String,
    },
}

#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Count(#[from] CountError),
    #[error("{0}: {1}")]
    Kept(PathBuf, KeptError),
    #[error(
        "the hot path takes more instructions than are kept; where that is meant, keep them with scripts/instructions --keep and say why"
    )]
    More,
    #[error(transparent)]
    Io(#[from] io::Error),
}

fn main() -> ExitCode {
    let args = Args::parse();
    let done = match &args.walk {
        Some(Walk::Walk { path }) => Path::named(path).and_then(Path::run).map_err(Failure::from),
        None => compare(&args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "onsale-instructions: {error}");
            ExitCode::FAILURE
        }
    }
}

fn compare(args: &Args) -> Result<(), Failure> {
    let of_file = |error| Failure::Kept(args.file.clone(), error);
    let mut instructions = BTreeMap::new();
    for path in &PATHS {
        instructions.insert(path.name.to_owned(), count(path, &["walk"])?);
    }
    let now = Kept { rustc: rustc()?, profile: profile(), valgrind: version()?, instructions };
    let mut out = io::stdout();
    if args.keep {
        now.write(&args.file).map_err(of_file)?;
        writeln!(out, "kept in {}:", args.file.display())?;
    }
    let kept = Kept::read(&args.file).map_err(of_file)?;
    let comparison = Comparison::new(&kept.instructions, &now.instructions);
    write!(out, "{}", comparison.table())?;
    for (what, kept, now) in [
        ("rustc", &kept.rustc, &now.rustc),
        ("profile", &kept.profile, &now.profile),
        ("valgrind", &kept.valgrind, &now.valgrind),
    ] {
        if kept != now {
            writeln!(out, "{what}: kept with {kept}, counted with {now}")?;
        }
    }
    if comparison.passes() { Ok(()) } else { Err(Failure::More) }
}

/// The compiler's version, as it says it itself.
fn rustc() -> Result<String, CountError> {
    let name = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(name).arg("--version").output();
    let output = output.map_err(|error| CountError::Io("rustc".to_owned(), error))?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// The profile that this binary was built with: the directory that it lies in.
fn profile() -> String {
    let here = std::env::current_exe().ok();
    let here = here.as_deref().and_then(std::path::Path::parent).and_then(std::path::Path::file_name);
    here.map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}
