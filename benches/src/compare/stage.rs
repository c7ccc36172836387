//! What every run of the comparison starts from: a data directory with a hall, events on sale, an event whose first
//! seats are taken, a line with a crowd in it; tokens; scripts; and the answers that the ceilings shall imitate. Made
//! once, on a server that is then killed; each measured server gets a copy.

use super::ceiling::Sample;
use super::wrk::{self, Tokens};
use super::{CompareError, Settings};
use crate::http1::{Connection, Work, drive, request_with, unexpected};
use crate::process::{Launch, Server, copy_dir};
use crate::scene::{Hall, Scene, buyer, hold_request, status_request};
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

/// Seats of one event at the most: a template has a thousand rows of a thousand.
const MOST_SEATS: u64 = 1_000_000;
/// Connections over which the crowd comes.
const ENTERING: usize = 64;
/// Numbers of buyers who wait, and of those who are refused, lie beyond those who hold.
const WAITING_FROM: u64 = 1 << 40;
const REFUSED_FROM: u64 = 1 << 41;
/// Buyers who are refused, one after the other.
const REFUSED: u64 = 50_000;

/// See the module.
pub(super) struct Stage {
    pub hall: Hall,
    /// Events whose seats are held while it is measured.
    pub events: Vec<String>,
    pub scripts: Scripts,
    pub samples: Samples,
    template: PathBuf,
    base: Launch,
}

/// What is sent.
pub(super) struct Scripts {
    pub hold: PathBuf,
    pub refused: PathBuf,
    pub status: PathBuf,
}

/// What is answered, written down for the ceilings.
pub(super) struct Samples {
    pub hold: PathBuf,
    pub refused: PathBuf,
    pub status: PathBuf,
}

/// A server on a copy of the stage.
pub(super) struct Running {
    pub server: Server,
    pub scene: Scene,
    pub port: u16,
    data: PathBuf,
}

impl Running {
    pub(super) fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    /// Kills the server and removes its data.
    pub(super) fn end(self) -> Result<(), CompareError> {
        self.server.kill()?;
        Ok(std::fs::remove_dir_all(&self.data)?)
    }
}

impl Stage {
    /// Makes everything in the settings' directory.
    pub(super) async fn make(settings: &Settings) -> Result<Self, CompareError> {
        let base = Launch::new(&settings.onsale, &settings.dir)?.with("ONSALE__LOG__LEVEL", "warn");
        let template = base.data.clone();
        let server = base.start().await?;
        let scene = Scene::new(server.client.clone());
        // Enough for the fastest server that is expected, so that no run sells an event out.
        let holds = (settings.most_per_second * settings.seconds).max(settings.open_rate * settings.open_seconds);
        let events_needed = holds.div_ceil(MOST_SEATS / 2).max(1);
        let hall = scene.hall((holds * 2).div_ceil(events_needed)).await?;
        let mut events = Vec::new();
        for _ in 0..events_needed {
            events.push(scene.open_event(&hall).await?);
        }
        let (taken, queued) = (scene.open_event(&hall).await?, scene.queued_event(&hall).await?);
        let address = SocketAddr::from(([127, 0, 0, 1], base.port));
        enter(address, &scene, &queued, settings.crowd).await?;
        let samples = samples(settings, address, &scene, &hall, &taken, &queued).await?;
        let scripts = scripts(settings, &scene, &hall, &events, &taken, &queued)?;
        server.kill()?;
        Ok(Self { hall, events, scripts, samples, template, base })
    }

    /// A server on a fresh copy.
    pub(super) async fn start(&self) -> Result<Running, CompareError> {
        let data = self.base.data.with_file_name("measured");
        if data.exists() {
            std::fs::remove_dir_all(&data)?;
        }
        copy_dir(&self.template, &data)?;
        let launch = Launch { data: data.clone(), port: crate::process::free_port()?, ..self.base.clone() };
        let server = launch.start().await?;
        let scene = Scene::new(server.client.clone());
        Ok(Running { server, scene, port: launch.port, data })
    }

    /// Every request of an open-loop run, of buyers who have not held before.
    pub(super) fn hold_requests(&self, scene: &Scene, count: u64) -> Vec<Vec<u8>> {
        let pairs = self.hall.pairs();
        let request = |n: u64| {
            let event = &self.events[(n / pairs) as usize % self.events.len()];
            hold_request(&self.hall, event, n % pairs, &scene.token(buyer(n)))
        };
        (0..count).map(request).collect()
    }
}

/// Lets the crowd come.
async fn enter(address: SocketAddr, scene: &Scene, event: &str, crowd: u64) -> Result<(), CompareError> {
    struct Enter(Vec<Vec<u8>>);
    impl Work for Enter {
        async fn step(&self, connection: &mut Connection, n: u64) -> io::Result<()> {
            let answer = connection.call(&self.0[n as usize]).await?;
            if answer.status == 200 { Ok(()) } else { Err(unexpected(&answer, 200)) }
        }
    }
    let body = format!(r#"{{"eventId":"{event}"}}"#);
    let request = |n| request_with("POST", "/api/v1/queue/enter", &scene.token(buyer(WAITING_FROM + n)), &body);
    let work = Arc::new(Enter((0..crowd).map(request).collect()));
    drive(address, ENTERING, crowd, &work).await?;
    Ok(())
}

async fn samples(
    settings: &Settings,
    address: SocketAddr,
    scene: &Scene,
    hall: &Hall,
    taken: &str,
    queued: &str,
) -> Result<Samples, CompareError> {
    let mut connection = Connection::open(address).await?;
    let mut sample = async |name: &str, request: Vec<u8>, expected: u16| -> Result<PathBuf, CompareError> {
        let answer = connection.call(&request).await?;
        if answer.status != expected {
            return Err(unexpected(&answer, expected).into());
        }
        let path = settings.dir.join(format!("{name}-answer.json"));
        let sample = Sample::of(answer.status, answer.head, answer.body);
        std::fs::write(&path, serde_json::to_vec(&sample).map_err(io::Error::other)?)?;
        Ok(path)
    };
    let token = |n| scene.token(buyer(n));
    Ok(Samples {
        hold: sample("hold", hold_request(hall, taken, 0, &token(0)), 201).await?,
        refused: sample("refused", hold_request(hall, taken, 0, &token(REFUSED_FROM)), 409).await?,
        status: sample("status", status_request(queued, &token(WAITING_FROM + settings.crowd / 2)), 200).await?,
    })
}

fn scripts(
    settings: &Settings,
    scene: &Scene,
    hall: &Hall,
    events: &[String],
    taken: &str,
    queued: &str,
) -> Result<Scripts, CompareError> {
    let tokens = |name: &str, from: u64, count: u64| {
        let tokens = (from..from + count).map(|n| scene.token(buyer(n)));
        Tokens::write(settings.dir.join(format!("{name}-tokens")), tokens)
    };
    let write = |name: &str, script: String| -> io::Result<PathBuf> {
        let path = settings.dir.join(format!("{name}.lua"));
        std::fs::write(&path, script)?;
        Ok(path)
    };
    let threads = settings.threads;
    // Each buyer comes twice to an event, far apart, and has then as many seats as one may have.
    let holders = tokens("hold", 0, hall.pairs().div_ceil(2))?;
    let refused = tokens("refused", REFUSED_FROM, REFUSED)?;
    let waiting = tokens("status", WAITING_FROM, settings.crowd)?;
    Ok(Scripts {
        hold: write("hold", wrk::hold_script(&holders, threads, hall, events))?,
        refused: write("refused", wrk::same_hold_script(&refused, threads, hall, taken))?,
        status: write("status", wrk::status_script(&waiting, threads, queued))?,
    })
}
