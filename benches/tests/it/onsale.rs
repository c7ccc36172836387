//! Where the server's binary is, and that it is up to date.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The root of the repository.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// The binary `onsale`: what `ONSALE_BIN` names, else built now (for the whole workspace, so that the test run's own
/// build is used again) beside this test.
pub fn binary() -> PathBuf {
    if let Some(path) = std::env::var_os("ONSALE_BIN") {
        let path = PathBuf::from(path);
        assert!(path.is_file(), "ONSALE_BIN names {}, which is no file", path.display());
        return path;
    }
    // …/target/debug/deps/it-0123: the profile's directory is two up, the target directory three.
    let this = std::env::current_exe().unwrap();
    let profile = this.parent().and_then(Path::parent).expect("tests lie in target/<profile>/deps");
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["build", "--quiet", "--workspace", "--bin", "onsale", "--target-dir"]).arg(profile.parent().unwrap());
    if profile.ends_with("release") {
        cargo.arg("--release");
    }
    let built = cargo.current_dir(root()).status().expect("cargo runs");
    assert!(built.success(), "the binary does not build");
    profile.join(format!("onsale{}", std::env::consts::EXE_SUFFIX))
}
