//! The secret that signs access tokens and everything that buyers carry: the configured one, or one that is made at the first start and kept in the
//! data directory, readable by its owner only. Must never be logged.

use crate::config::AuthConfig;
use crate::wiring::StartError;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::ExposeSecret;
use std::fs::{DirBuilder, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

const FILE: &str = "jwt_secret";

/// The bytes of the secret.
///
/// # Errors
/// [`StartError::Secret`].
pub fn of(config: &AuthConfig, data: &Path) -> Result<Vec<u8>, StartError> {
    if let Some(secret) = &config.jwt_secret {
        return Ok(secret.expose_secret().as_bytes().to_vec());
    }
    let path = data.join(FILE);
    let made = DirBuilder::new().recursive(true).mode(0o700).create(data);
    made.map_err(|source| StartError::Secret { path: path.clone(), source })?;
    kept(&path).map_err(|source| StartError::Secret { path, source })
}

fn kept(path: &Path) -> io::Result<Vec<u8>> {
    match File::open(path) {
        Ok(mut file) => {
            let mut text = String::new();
            file.read_to_string(&mut text)?;
            let secret = text.trim();
            if secret.len() < 32 {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "it has fewer than 32 bytes"));
            }
            Ok(secret.as_bytes().to_vec())
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => make(path),
        Err(error) => Err(error),
    }
}

/// Written beside and renamed, so that a crash leaves no half of it.
fn make(path: &Path) -> io::Result<Vec<u8>> {
    let secret = URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>());
    let beside = path.with_extension("new");
    let mut file = File::options().create(true).truncate(true).write(true).mode(0o600).open(&beside)?;
    file.write_all(secret.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&beside, path)?;
    if let Some(directory) = path.parent() {
        File::open(directory)?.sync_all()?;
    }
    tracing::info!(path = %path.display(), "auth.jwt_secret is not configured: one was created and is stored here");
    Ok(secret.into_bytes())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may end on its first surprise")]
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_secret_is_made_once_and_kept_for_its_owner() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(FILE);
        let made = kept(&path).unwrap();
        assert_eq!(made.len(), 43);
        assert_eq!(kept(&path).unwrap(), made);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        std::fs::write(&path, "short").unwrap();
        assert!(kept(&path).is_err());
    }
}
