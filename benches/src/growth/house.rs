//! A whole server in this process, on a free port and a data directory of its own: HTTP in front, and behind it the
//! engine, so that a line can be filled without a request for each buyer.

use super::{GrowthError, part};
use crate::process::JWT_SECRET;
use crate::scene::Scene;
use onsale_server::app::App;
use onsale_server::client::Client;
use onsale_server::config::Config;
use onsale_server::server::{Running, Server, bind};
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long tables may take to catch up, and how often that is checked.
const TIMEOUT: Duration = Duration::from_secs(120);
const CHECK_EVERY: Duration = Duration::from_millis(50);

/// See the module.
pub(super) struct House {
    pub app: Arc<App>,
    pub scene: Scene,
    pub address: SocketAddr,
    running: Running,
    data: PathBuf,
}

impl House {
    /// Starts a server whose data lie in a new directory of `dir`.
    pub(super) async fn start(dir: &Path, name: &str) -> Result<Self, GrowthError> {
        let data = dir.join(name);
        let file = dir.join("config.toml");
        std::fs::write(&file, "")?;
        let settings: [(&str, OsString); 4] = [
            ("ONSALE__SERVER__LISTEN", "127.0.0.1:0".into()),
            ("ONSALE__STORAGE__PATH", data.clone().into()),
            ("ONSALE__AUTH__JWT_SECRET", JWT_SECRET.into()),
            ("ONSALE__RATE_LIMIT__ENABLED", "false".into()),
        ];
        let settings = settings.map(|(name, value)| (OsString::from(name), value));
        let config = Config::load(Some(&file), settings).map_err(part)?;
        let socket = bind(config.server.listen)?;
        let mut running = Server::start(config, socket).map_err(part)?;
        let app = running.ready().await.map_err(part)?;
        let address = running.address();
        let scene = Scene::new(Client::new(format!("http://{address}")));
        Ok(Self { app, scene, address, running, data })
    }

    /// Waits until the tables have everything: what one measurement has left behind must not be the load of the next.
    pub(super) async fn catch_up(&self) -> Result<(), GrowthError> {
        let since = Instant::now();
        while self.scene.metric("onsale_projection_lag_facts").await? > 0.0 {
            if since.elapsed() > TIMEOUT {
                return Err(GrowthError::Part("the tables do not catch up".into()));
            }
            tokio::time::sleep(CHECK_EVERY).await;
        }
        Ok(())
    }

    /// Stops the server and removes its data.
    pub(super) async fn end(self) -> Result<(), GrowthError> {
        drop(self.app);
        self.running.stop().await;
        Ok(std::fs::remove_dir_all(&self.data)?)
    }
}
