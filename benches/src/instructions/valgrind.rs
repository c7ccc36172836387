//! Runs a path under callgrind and reads how many instructions it counted. Knows callgrind's command line and its file, not
//! what is counted.

use super::{CountError, Path};
use std::process::{Command, Stdio};

/// What callgrind counts in: see [`super::counted`]. Whatever else has that in its name would end the counting.
const COUNTED: &str = "onsale_benches::instructions::counted";

/// Instructions of one round of a path, rounded: this binary walks it under callgrind with `arguments` and the path's name.
///
/// # Errors
/// [`CountError::Io`] where there is no valgrind, [`CountError::Program`] when it or the path failed.
pub fn count(path: &Path, arguments: &[&str]) -> Result<u64, CountError> {
    let io = |error| CountError::Io("valgrind".to_owned(), error);
    let scratch = tempfile::tempdir().map_err(io)?;
    let out = scratch.path().join("callgrind.out");
    let ran = Command::new("valgrind")
        // Fair, or threads that set the stage wait for one that has nothing to do.
        .args(["--tool=callgrind", "--quiet", "--fair-sched=yes"])
        .arg(format!("--toggle-collect={COUNTED}"))
        .arg(format!("--callgrind-out-file={}", out.display()))
        .arg(std::env::current_exe().map_err(io)?)
        .args(arguments)
        .arg(path.name)
        .stdin(Stdio::null())
        .output()
        .map_err(io)?;
    let failed = |why: String| CountError::Program(format!("callgrind on {:?}", path.name), why);
    if !ran.status.success() {
        return Err(failed(format!("{}\n{}", ran.status, String::from_utf8_lossy(&ran.stderr))));
    }
    let counted = std::fs::read_to_string(&out).map_err(io)?;
    match total(&counted) {
        Some(total) if total > 0 => Ok((total + path.times / 2) / path.times),
        _ => Err(failed(format!("nothing was counted: is there a function {COUNTED}?"))),
    }
}

/// The version of valgrind here.
///
/// # Errors
/// [`CountError::Io`] where there is none.
pub fn version() -> Result<String, CountError> {
    let output = Command::new("valgrind").arg("--version").output();
    let output = output.map_err(|error| CountError::Io("valgrind".to_owned(), error))?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// The sum of a file of callgrind's that counts instructions alone.
fn total(counted: &str) -> Option<u64> {
    let is_of_instructions = counted.lines().any(|line| line == "events: Ir");
    let sum = |line: &str| line.strip_prefix("totals: ")?.trim().parse().ok();
    counted.lines().rev().find_map(sum).filter(|_| is_of_instructions)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_is_read_and_nothing_else() {
        let file = "# callgrind format\nversion: 1\nevents: Ir\nsummary: 77\n\nfn=(1) a\n4 70\n\ntotals: 1234\n";
        assert_eq!(total(file), Some(1234));
        assert_eq!(total("events: Ir Dr\ntotals: 1234 7\n"), None);
        assert_eq!(total("events: Ir\n"), None);
    }
}
