//! The server that the load is for: one that runs already, or one of our own on fresh data. Owns where it is, its
//! process and its secret.

use super::error::LoadError;
use super::settings::{Settings, Target};
use crate::built::onsale_binary;
use crate::process::{JWT_SECRET, Launch, Server};
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// Connections that a server of our own takes beyond those of the load.
const SPARE_CONNECTIONS: usize = 512;
/// The least that it is configured for: its own default.
const LEAST_CONNECTIONS: usize = 16_384;
/// Where a server keeps the secret that it made.
const SECRET_FILE: &str = "jwt_secret";

/// See the module.
pub(super) struct TargetServer {
    /// `http://host:port`.
    pub base: String,
    pub address: SocketAddr,
    pub secret: Vec<u8>,
    /// The server's process, where it is known.
    pub process: Option<u32>,
    own: Option<Own>,
}

/// A server of our own.
struct Own {
    server: Server,
    data: PathBuf,
    kept: Option<TempDir>,
}

/// The data that a server of our own has left.
pub(super) struct Left {
    pub data: PathBuf,
    _kept: Option<TempDir>,
}

impl TargetServer {
    /// Finds the server, or starts one.
    pub(super) async fn of(settings: &Settings) -> Result<Self, LoadError> {
        match &settings.target {
            Target::Serve { onsale, dir } => Self::start(settings, onsale.as_deref(), dir.as_deref()).await,
            Target::Running { url, data } => {
                let secret = secret(settings.secret.as_deref(), data.as_deref())?;
                Ok(Self { address: resolve(url)?, base: url.clone(), secret, process: settings.pid, own: None })
            }
        }
    }

    async fn start(settings: &Settings, onsale: Option<&Path>, dir: Option<&Path>) -> Result<Self, LoadError> {
        let temporary = match dir {
            Some(_) => None,
            // Beside this binary, so that the disk is a real one.
            None => Some(tempfile::Builder::new().prefix("onsale-load-").tempdir_in(beside()?)?),
        };
        let dir = dir.or(temporary.as_ref().map(TempDir::path)).map(Path::to_owned).unwrap_or_default();
        std::fs::create_dir_all(&dir)?;
        if std::fs::read_dir(&dir)?.next().is_some() {
            return Err(LoadError::Target(format!("--dir: {} is not empty", dir.display())));
        }
        let connections = settings.connections + settings.idle_sockets + SPARE_CONNECTIONS;
        let mut launch = Launch::new(&onsale_binary(onsale)?, &dir)?
            .with("ONSALE__SERVER__MAX_CONNECTIONS", connections.max(LEAST_CONNECTIONS).to_string())
            // The whole crowd comes from here.
            .with("ONSALE__SERVER__MAX_CONNECTIONS_PER_ADDRESS", connections.max(LEAST_CONNECTIONS).to_string());
        launch.is_apart = true;
        let server = launch.start().await?;
        let (base, process) = (launch.base(), server.id());
        let own = Own { server, data: launch.data.clone(), kept: temporary };
        let secret = JWT_SECRET.as_bytes().to_vec();
        Ok(Self { address: resolve(&base)?, base, secret, process: Some(process), own: Some(own) })
    }

    /// Ends a server of our own and answers where its data are.
    pub(super) fn end(self) -> Result<Option<Left>, LoadError> {
        let Some(own) = self.own else { return Ok(None) };
        own.server.kill()?;
        Ok(Some(Left { data: own.data, _kept: own.kept }))
    }
}

fn beside() -> std::io::Result<PathBuf> {
    let this = std::env::current_exe()?;
    Ok(this.parent().map(Path::to_owned).unwrap_or_default())
}

fn resolve(url: &str) -> Result<SocketAddr, LoadError> {
    let failed = |why: String| LoadError::Target(format!("{url}: {why}"));
    let host = url.strip_prefix("http://").unwrap_or(url);
    let host = if host.contains(':') { host.to_owned() } else { format!("{host}:80") };
    let mut found = host.to_socket_addrs().map_err(|error| failed(error.to_string()))?;
    found.next().ok_or_else(|| failed("no such host".into()))
}

fn secret(given: Option<&[u8]>, data: Option<&Path>) -> Result<Vec<u8>, LoadError> {
    if let Some(secret) = given {
        return Ok(secret.to_vec());
    }
    let path = data.unwrap_or(Path::new("")).join(SECRET_FILE);
    let read = std::fs::read_to_string(&path);
    let secret = read.map_err(|error| LoadError::Target(format!("the secret in {}: {error}", path.display())))?;
    Ok(secret.trim().as_bytes().to_vec())
}
