//! Why a run could not be made. A level that is missed is no error but in the report.

use crate::process::ProcessError;
use crate::scene::SceneError;
use onsale_server::verify::VerifyError;
use std::io;

/// Why a run could not be made.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The server, its secret or its event is not as it should be.
    #[error("{0}")]
    Target(String),
    /// A server of our own could not be started or ended.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// Hall or event could not be made.
    #[error(transparent)]
    Scene(#[from] SceneError),
    /// The journal could not be read.
    #[error("the journal could not be read: {0}")]
    Verify(#[from] VerifyError),
    /// Connections or files.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// It was interrupted before there was anything to report.
    #[error("interrupted before it began")]
    Interrupted,
}
