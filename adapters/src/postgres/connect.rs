//! Where the database is and how it is spoken to: the URL with its `sslmode`, and connections that live on the
//! adapter's own runtime. Must never log a URL, which may hold a password.

use super::session::Session;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio_postgres::config::SslMode;
use tokio_postgres::{Client, Config, NoTls};
use tokio_postgres_rustls::MakeRustlsConnect;

/// How long packets may stay unacknowledged before a connection counts as dead.
const NETWORK_SILENCE: Duration = Duration::from_secs(10);

/// Why a URL is of no use.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct UrlMistake(String);

/// How far the server's certificate is trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Trust {
    /// No TLS.
    None,
    /// TLS without a check of the certificate: against those who listen, not against those who pretend.
    Blind,
    /// The certificate is checked, and that it is the host's: against the machine's own roots, or those of a file.
    Full(Option<PathBuf>),
}

/// A database, as a URL names it.
#[derive(Clone)]
pub struct DatabaseUrl {
    config: Config,
    trust: Trust,
}

impl DatabaseUrl {
    /// Reads `postgres://user:password@host:port/database?sslmode=…`. `sslmode` is `disable`, `prefer` (the default:
    /// TLS if the server offers it, unverified), `require` (TLS, unverified) or `verify-full`, then with `sslrootcert`
    /// or the machine's own roots.
    ///
    /// # Errors
    /// What is wrong with it, without the URL.
    pub fn parse(url: &str) -> Result<Self, UrlMistake> {
        let mistake = |what: &str| UrlMistake(what.to_owned());
        if !["postgres://", "postgresql://"].iter().any(|scheme| url.starts_with(scheme)) {
            return Err(mistake("must begin with postgres:// or postgresql://"));
        }
        let (base, query) = url.split_once('?').unwrap_or((url, ""));
        let (mut rest, mut mode, mut roots) = (Vec::new(), "prefer", None);
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            match pair.split_once('=') {
                Some(("sslmode", value)) => mode = value,
                Some(("sslrootcert", value)) => roots = Some(PathBuf::from(value)),
                Some(_) | None => rest.push(pair),
            }
        }
        let trust = match mode {
            "disable" => Trust::None,
            "prefer" | "require" => Trust::Blind,
            "verify-full" => Trust::Full(roots.clone()),
            _ => return Err(mistake("sslmode must be disable, prefer, require or verify-full")),
        };
        if roots.is_some() && mode != "verify-full" {
            return Err(mistake("sslrootcert is only used with sslmode=verify-full"));
        }
        // An unquoted @ in a password would make its end a part of the host, which messages contain.
        if base.matches('@').count() > 1 {
            return Err(mistake("has more than one @: within a password it is written %40"));
        }
        let url = if rest.is_empty() { base.to_owned() } else { format!("{base}?{}", rest.join("&")) };
        let mut config: Config =
            // Without the parser's own words, which repeat what it could not read.
            url.parse().map_err(|_| mistake("is no URL of a database: postgres://user:password@host:port/database"))?;
        config.ssl_mode(match mode {
            "disable" => SslMode::Disable,
            "prefer" => SslMode::Prefer,
            _ => SslMode::Require,
        });
        if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
            return Err(mistake("must name a host"));
        }
        Ok(Self { config, trust })
    }

    /// Whether the server's certificate is checked (`sslmode=verify-full`).
    #[must_use]
    pub fn is_verified(&self) -> bool {
        matches!(self.trust, Trust::Full(_))
    }

    /// Whether nothing of it leaves this machine: Unix sockets and loopback addresses only.
    #[must_use]
    pub fn is_local(&self) -> bool {
        let is_loopback = |name: &str| name == "localhost" || name.parse().is_ok_and(|ip: IpAddr| ip.is_loopback());
        let hosts = self.config.get_hosts().iter().all(|host| match host {
            tokio_postgres::config::Host::Tcp(name) => is_loopback(name),
            #[cfg(unix)]
            tokio_postgres::config::Host::Unix(_) => true,
        });
        hosts && self.config.get_hostaddrs().iter().all(IpAddr::is_loopback)
    }

    /// The host and database, for messages.
    #[must_use]
    pub fn name(&self) -> String {
        let hosts = self.config.get_hosts().iter().map(|host| match host {
            tokio_postgres::config::Host::Tcp(name) => name.clone(),
            #[cfg(unix)]
            tokio_postgres::config::Host::Unix(path) => path.display().to_string(),
        });
        format!("{}/{}", hosts.collect::<Vec<_>>().join(","), self.config.get_dbname().unwrap_or_default())
    }
}

impl std::fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "DatabaseUrl({}, {:?})", self.name(), self.trust)
    }
}

/// How one kind of connection is made.
#[derive(Clone)]
pub(super) struct Connector {
    config: Config,
    tls: Option<MakeRustlsConnect>,
    timeout: Duration,
    runtime: Handle,
}

/// What a session is set to; each a setting of Postgres' own.
pub(super) type SessionSettings<'s> = &'s [(&'s str, String)];

impl Connector {
    /// Connections to `url` for `purpose`, given up after `timeout`.
    pub(super) fn new(
        url: &DatabaseUrl,
        purpose: &str,
        settings: SessionSettings<'_>,
        timeout: Duration,
        runtime: Handle,
    ) -> Result<Self, UrlMistake> {
        let mut config = url.config.clone();
        let mut options = config.get_options().unwrap_or_default().to_owned();
        for (name, value) in settings {
            options.push_str(&format!(" -c {name}={value}"));
        }
        config.options(options.trim());
        if config.get_application_name().is_none() {
            config.application_name(format!("onsale {purpose}"));
        }
        config.connect_timeout(timeout).tcp_user_timeout(NETWORK_SILENCE);
        config.keepalives(true).keepalives_idle(NETWORK_SILENCE).keepalives_interval(NETWORK_SILENCE / 4);
        let tls = match &url.trust {
            Trust::None => None,
            Trust::Blind => Some(MakeRustlsConnect::new(unverified()?)),
            Trust::Full(Some(roots)) => Some(MakeRustlsConnect::new(verified_by(roots)?)),
            Trust::Full(None) => {
                // What the roots are checked with is the process' own choice; the first who asks makes it.
                let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
                let (connect, mistakes) = MakeRustlsConnect::with_native_certs()
                    .map_err(|mistakes| UrlMistake(format!("the machine's own root certificates: {mistakes:?}")))?;
                for mistake in mistakes {
                    tracing::warn!(%mistake, "a root certificate of this machine is skipped");
                }
                Some(connect)
            }
        };
        Ok(Self { config, tls, timeout, runtime })
    }

    /// A fresh connection, driven by the adapter's runtime.
    ///
    /// # Errors
    /// A connection that was not made: nothing has happened.
    pub(super) async fn connect(&self) -> Result<Session, ConnectError> {
        Ok(Session::new(self.client().await?))
    }

    /// As [`Connector::connect`], without a cache of statements.
    ///
    /// # Errors
    /// As there.
    pub(super) async fn client(&self) -> Result<Client, ConnectError> {
        let (config, tls, timeout) = (self.config.clone(), self.tls.clone(), self.timeout);
        let connecting = self.runtime.spawn(async move {
            // The configured timeout covers each address; this one also a server that accepts and says nothing.
            let connected = tokio::time::timeout(timeout, async {
                let client = match tls {
                    None => drive(config.connect(NoTls).await?),
                    Some(tls) => drive(config.connect(tls).await?),
                };
                Ok::<Client, tokio_postgres::Error>(client)
            });
            match connected.await {
                Ok(Ok(client)) => Ok(client),
                Ok(Err(error)) => Err(ConnectError(super::failure::one_line(&error))),
                Err(_) => Err(ConnectError(format!("no answer within {} ms", timeout.as_millis()))),
            }
        });
        connecting.await.map_err(|_| ConnectError("the adapter has stopped".to_owned()))?
    }
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
#[error("the database cannot be reached: {0}")]
pub struct ConnectError(pub(super) String);

fn drive<S, T>((client, connection): (Client, tokio_postgres::Connection<S, T>)) -> Client
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
    T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(error = super::failure::one_line(&error), "a connection to the database has ended");
        }
    });
    client
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

fn unverified() -> Result<ClientConfig, UrlMistake> {
    let builder = ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| UrlMistake(error.to_string()))?;
    let verifier = Arc::new(Unverified(provider()));
    Ok(builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth())
}

fn verified_by(roots: &Path) -> Result<ClientConfig, UrlMistake> {
    let unread = |what: String| UrlMistake(format!("sslrootcert {}: {what}", roots.display()));
    let mut store = RootCertStore::empty();
    let certificates = CertificateDer::pem_file_iter(roots).map_err(|error| unread(error.to_string()))?;
    for certificate in certificates {
        let certificate = certificate.map_err(|error| unread(error.to_string()))?;
        store.add(certificate).map_err(|error| unread(error.to_string()))?;
    }
    if store.is_empty() {
        return Err(unread("there is no certificate in it".to_owned()));
    }
    let builder = ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| UrlMistake(error.to_string()))?;
    Ok(builder.with_root_certificates(store).with_no_client_auth())
}

/// What `prefer` and `require` mean, here as in libpq: encrypted, and the server is not authenticated.
#[derive(Debug)]
struct Unverified(Arc<CryptoProvider>);

impl ServerCertVerifier for Unverified {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn check(url: &str, expected: Result<(SslMode, Trust), &str>) {
        let read = DatabaseUrl::parse(url).map(|url| (url.config.get_ssl_mode(), url.trust));
        match (read, expected) {
            (Ok(read), Ok(expected)) => assert_eq!(read, expected, "{url}"),
            (Err(mistake), Err(part)) => assert!(mistake.0.contains(part), "{url}: {mistake}"),
            (read, expected) => panic!("{url}: {read:?}, expected {expected:?}"),
        }
    }

    #[test]
    fn each_sslmode_says_what_is_trusted() {
        let base = "postgres://u:secret@db.example:5433/onsale";
        check(base, Ok((SslMode::Prefer, Trust::Blind)));
        check(&format!("{base}?sslmode=disable"), Ok((SslMode::Disable, Trust::None)));
        check(&format!("{base}?sslmode=prefer"), Ok((SslMode::Prefer, Trust::Blind)));
        check(&format!("{base}?application_name=x&sslmode=require"), Ok((SslMode::Require, Trust::Blind)));
        check(&format!("{base}?sslmode=verify-full"), Ok((SslMode::Require, Trust::Full(None))));
        let roots = Trust::Full(Some("/etc/ca.pem".into()));
        check(&format!("{base}?sslmode=verify-full&sslrootcert=/etc/ca.pem"), Ok((SslMode::Require, roots)));
        check(&format!("{base}?sslmode=verify-ca"), Err("sslmode must be"));
        check(&format!("{base}?sslmode=require&sslrootcert=/etc/ca.pem"), Err("only used"));
        check(&format!("{base}?shoe=1"), Err("no URL"));
        check("mysql://x", Err("must begin"));
        check("postgres:///onsale", Err("host"));
        let mistake = DatabaseUrl::parse(&format!("{base}?shoe=1")).unwrap_err().to_string();
        assert!(!mistake.contains("secret"), "{mistake}");
    }
}
