//! Where the server's binary is: the one that is named, else built now, so that no old one is measured by mistake.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The binary `onsale`: `named`, else built in this binary's own profile by the cargo that runs it; without a cargo,
/// the one beside this binary.
///
/// # Errors
/// When it does not build, or there is none.
pub fn onsale_binary(named: Option<&Path>) -> io::Result<PathBuf> {
    let beside = std::env::current_exe()?.with_file_name(format!("onsale{}", std::env::consts::EXE_SUFFIX));
    let path = match named {
        Some(path) => path.to_owned(),
        None => {
            if let Some(cargo) = std::env::var_os("CARGO") {
                build(Path::new(&cargo), &beside)?;
            }
            beside
        }
    };
    if path.is_file() {
        return Ok(path);
    }
    let message = format!("there is no {}: build it with cargo build --release -p onsale-server", path.display());
    Err(io::Error::new(io::ErrorKind::NotFound, message))
}

/// Builds into the target directory in which `beside` lies: `target/<profile>/onsale`.
fn build(cargo: &Path, beside: &Path) -> io::Result<()> {
    let mut command = Command::new(cargo);
    command.args(["build", "--quiet", "--package", "onsale-server", "--bin", "onsale"]);
    if let Some(profile) = beside.parent() {
        if profile.ends_with("release") {
            command.arg("--release");
        }
        if let Some(target) = profile.parent() {
            command.arg("--target-dir").arg(target);
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let built = command.current_dir(root).stdin(Stdio::null()).status()?;
    if built.success() { Ok(()) } else { Err(io::Error::other("the server does not build")) }
}
