//! `onsale health`: asks a running server whether it is there, for containers and supervisors that have no HTTP client. Must
//! never start anything, and never wait for longer than its flag says.

use crate::client::{Call, Client};
use crate::config::Config;
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::process::ExitCode;
use std::time::Duration;

/// What is asked.
#[derive(Clone, Debug, clap::Args)]
pub struct HealthArgs {
    /// Ask only whether the process responds, also while it starts or drains, and not whether it is ready to serve.
    #[arg(long)]
    live: bool,
    /// Base URL of the server, such as `http://127.0.0.1:8080`. Default: the address in `server.listen` of the configuration.
    #[arg(long, value_name = "URL", value_parser = base)]
    url: Option<String>,
    /// Timeout of the request, in milliseconds (1 to 60000).
    #[arg(long, value_name = "MILLISECONDS", default_value_t = 2000, value_parser = clap::value_parser!(u64).range(1..=60_000))]
    timeout_ms: u64,
}

impl HealthArgs {
    /// Whether the server is named, so that no configuration is needed.
    #[must_use]
    pub fn has_url(&self) -> bool {
        self.url.is_some()
    }
}

fn base(text: &str) -> Result<String, String> {
    let rest = text.strip_prefix("http://").ok_or("must begin with http://")?;
    if rest.is_empty() { Err("names no host".to_owned()) } else { Ok(text.trim_end_matches('/').to_owned()) }
}

/// Asks, prints the answer, and ends with 0 when it is 200, else with 1.
#[must_use]
pub fn run(args: &HealthArgs, config: Option<&Config>) -> ExitCode {
    let base = match (&args.url, config) {
        (Some(url), _) => url.clone(),
        (None, Some(config)) => format!("http://{}", reached(config.server.listen)),
        (None, None) => return ExitCode::from(2),
    };
    let path = if args.live { "/health/live" } else { "/health/ready" };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return report(&format!("{error}"), false),
    };
    let answer = runtime.block_on(async {
        let client = Client::new(base.as_str());
        tokio::time::timeout(Duration::from_millis(args.timeout_ms), client.send(&Call::get(path))).await
    });
    match answer {
        Ok(Ok(answer)) => {
            let body = String::from_utf8_lossy(&answer.body);
            report(&format!("{base}{path}: {} {body}", answer.status), answer.status == 200)
        }
        Ok(Err(error)) => report(&format!("{base}{path}: {error}"), false),
        Err(_) => report(&format!("{base}{path}: no answer within {} ms", args.timeout_ms), false),
    }
}

/// A server that listens everywhere is reached on this machine.
fn reached(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip @ (IpAddr::V4(_) | IpAddr::V6(_)) => ip,
    };
    SocketAddr::new(ip, listen.port())
}

fn report(line: &str, is_well: bool) -> ExitCode {
    let _ = if is_well { writeln!(io::stdout(), "{line}") } else { writeln!(io::stderr(), "{line}") };
    if is_well { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_listens_everywhere_is_asked_here() {
        let at = |text: &str| text.parse::<SocketAddr>().ok().map(|listen| reached(listen).to_string());
        assert_eq!(at("0.0.0.0:8080").as_deref(), Some("127.0.0.1:8080"));
        assert_eq!(at("[::]:8080").as_deref(), Some("[::1]:8080"));
        assert_eq!(at("192.0.2.7:80").as_deref(), Some("192.0.2.7:80"));
        assert!(base("127.0.0.1:8080").is_err() && base("http://").is_err());
        assert_eq!(base("http://onsale.example/").as_deref(), Ok("http://onsale.example"));
    }
}
