//! The configuration as a file and an environment give it.
#![allow(clippy::unwrap_used, reason = "a test may end on its first surprise")]

use super::*;

fn env(pairs: &[(&str, &str)]) -> Vec<(OsString, OsString)> {
    pairs.iter().map(|(name, value)| (OsString::from(name), OsString::from(value))).collect()
}

fn check(file: &str, overrides: &[(&str, &str)], expected: &[(&str, &str)]) {
    let actual = match Config::read(Some(file), env(overrides), None) {
        Ok(_) => Vec::new(),
        Err(ConfigError(mistakes, _)) => mistakes,
    };
    let actual: Vec<(&str, &str)> =
        actual.iter().map(|actual| (actual.place.as_str(), actual.reason.as_str())).collect();
    assert_eq!(actual, expected);
}

fn repository_file() -> String {
    std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../config.toml")).unwrap()
}

#[test]
fn the_files_values_are_the_defaults() {
    let of_file = Config::read(Some(&repository_file()), [], None).unwrap();
    let of_nothing = Config::read(None, [], None).unwrap();
    assert_eq!(format!("{of_file:?}"), format!("{of_nothing:?}"));
}

#[test]
fn the_file_names_every_key_in_its_section() {
    let mut reader = Reader::new(None, BTreeMap::new());
    Config::of(&mut reader, None);
    let text = repository_file();
    for (section, key) in reader.known() {
        let (_, rest) = text.split_once(&format!("\n[{section}]\n")).unwrap_or_else(|| panic!("no section {section}"));
        let keys = rest.split("\n[").next().unwrap();
        let stands = keys.lines().any(|line| line.trim_start_matches("# ").starts_with(&format!("{key} = ")));
        assert!(stands, "{section}.{key} is not in config.toml");
    }
}

#[test]
fn every_mistake_is_reported_in_one_run() {
    let file = "
        stray = 1
        [server]
        listen = 8080
        request_timeout_ms = 1
        idle_timeout_s = 60
        lisen = \"x\"
        [storage]
        kind = \"postgres\"
        [pantry]
        size = 1
        [rate_limit]
        hold = 60
        login = \"0/60s\"
        signup = \"10/0s\"
        [postgres]
        url = \"mysql://x\"
        read_url = \"postgres://x/y?sslmode=allow\"
        pool_size = 0
        journal_key = \"key\"
        [log]
        format = \"xml\"
    ";
    let overrides = [
        ("ONSALE__AUTH__JWT_SECRET", "short"),
        ("ONSALE__SERVER__MAX_CONNECTIONS", "many"),
        ("ONSALE__SERVER__PORT", "1"),
        ("ONSALE_BOOTSTRAP_ADMIN", "nobody:short"),
        ("ONSALE_SERVER__LISTEN", "127.0.0.1:1"),
        ("ONSALE__CATALOGUE__TIME_ZONE", "Mars/Olympus"),
        ("ONSALE_SERVICE_HOST", "10.0.0.1"),
        ("UNRELATED", "1"),
    ];
    check(
        file,
        &overrides,
        &[
            ("server.listen", "must be an address and port, such as \"127.0.0.1:8080\""),
            ("server.request_timeout_ms", "must be from 100 to 120000"),
            ("ONSALE__SERVER__MAX_CONNECTIONS", "must be a whole number"),
            ("server.idle_timeout_s", "must be from 75 to 3600"),
            ("postgres.url", "must begin with postgres:// or postgresql://"),
            ("postgres.read_url", "sslmode must be disable, prefer, require or verify-full"),
            ("postgres.pool_size", "must be from 1 to 200"),
            ("postgres.journal_key", "must have at least 32 bytes, it has 3"),
            ("ONSALE__CATALOGUE__TIME_ZONE", "must be an IANA time zone, such as \"Asia/Seoul\""),
            ("ONSALE__AUTH__JWT_SECRET", "must have at least 32 bytes, it has 5"),
            ("rate_limit.hold", "must be requests per seconds, such as \"60/10s\""),
            ("rate_limit.signup", "must allow 1 to 1000000 requests in 1 to 86400 seconds"),
            ("rate_limit.login", "must be requests per seconds, such as \"60/10s\""),
            ("log.format", "must be one of json, text"),
            ("ONSALE_BOOTSTRAP_ADMIN", "what stands before the colon must be an e-mail address"),
            ("ONSALE_BOOTSTRAP_ADMIN", "the password must be: 15 to 128 characters"),
            ("ONSALE_SERVER__LISTEN", "is not read; did you mean ONSALE__SERVER__LISTEN?"),
            ("pantry", "unknown section"),
            ("server.lisen", "unknown key; did you mean listen?"),
            ("stray", "unknown key: every key stands in a section"),
            ("ONSALE__SERVER__PORT", "unknown key: it must be ONSALE__SECTION__KEY in upper case"),
        ],
    );
}

#[test]
fn a_file_that_is_no_toml_does_not_hide_the_environments_mistakes() {
    let overrides = env(&[("ONSALE__RATE_LIMIT__ENABLED", "maybe")]);
    let ConfigError(mistakes, _) = Config::read(Some("[server\n"), overrides, None).unwrap_err();
    let places: Vec<&str> = mistakes.iter().map(|mistake| mistake.place.as_str()).collect();
    assert_eq!(places, ["the file", "ONSALE__RATE_LIMIT__ENABLED"]);
}

#[test]
fn the_environment_overrides_the_file_by_the_targets_type() {
    let overrides = env(&[
        ("ONSALE__SERVER__LISTEN", "127.0.0.1:18080"),
        ("ONSALE__STORAGE__PATH", "123"),
        ("ONSALE__RATE_LIMIT__ENABLED", "false"),
        ("ONSALE__PAYMENT__TIMEOUT_MS", "250"),
        ("ONSALE__POSTGRES__URL", "postgres://localhost/onsale"),
        ("ONSALE__AUTH__JWT_SECRET", "0123456789abcdef0123456789abcdef"),
        ("ONSALE_BOOTSTRAP_ADMIN", "admin@example.org:pass:word and more"),
    ]);
    let config = Config::read(Some("[server]\nlisten = \"127.0.0.1:1\""), overrides, None).unwrap();
    assert_eq!(config.server.listen.port(), 18080);
    assert_eq!(config.storage.path, Path::new("123"));
    assert!(!config.rate_limit.enabled);
    assert_eq!(config.payment.timeout, Duration::from_millis(250));
    assert!(config.auth.jwt_secret.is_some());
    assert_eq!(config.bootstrap_admin.as_ref().map(|admin| admin.email.as_str()), Some("admin@example.org"));
    let shown = format!("{config:?}");
    assert!(!shown.contains("pass:word") && !shown.contains("0123456789abcdef"), "{shown}");
}

#[test]
fn postgres_needs_a_url_only_when_it_is_chosen() {
    check("[postgres]\nurl = \"\"", &[], &[]);
    let missing = ("postgres.url", "must be set for storage.kind = \"postgres\"");
    check("[storage]\nkind = \"postgres\"", &[], &[missing]);
    check("", &[("ONSALE__STORAGE__KIND", "postgres"), ("ONSALE__POSTGRES__URL", "")], &[missing]);
    let overrides = [
        ("ONSALE__STORAGE__KIND", "postgres"),
        ("ONSALE__POSTGRES__URL", "postgres://onsale:pass-word@db.example/onsale"),
        ("ONSALE__POSTGRES__JOURNAL_KEY", "0123456789abcdef0123456789abcdef"),
    ];
    let config = Config::read(None, env(&overrides), None).unwrap();
    assert_eq!(config.storage.kind, StorageKind::Postgres);
    assert_eq!(config.postgres.settings().unwrap().url.name(), "db.example/onsale");
    let shown = format!("{config:?}");
    assert!(!shown.contains("pass-word") && !shown.contains("0123456789abcdef"), "{shown}");
}

#[test]
fn a_file_may_begin_with_a_mark_and_must_not_be_utf_16() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("config.toml");
    let read = |bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        Config::load(Some(&path), []).map(|config| config.engine.arbiters)
    };
    assert_eq!(read(b"\xef\xbb\xbf[engine]\narbiters = 2\n").unwrap(), 2);
    let wide: Vec<u8> = "\u{feff}[engine]\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let ConfigError(mistakes, _) = read(&wide).unwrap_err();
    assert_eq!(mistakes[0].reason, "it is UTF-16; save or send it as UTF-8");
}

#[test]
fn a_file_that_was_named_must_exist() {
    let ConfigError(mistakes, _) = Config::load(Some(Path::new("/no/such/file.toml")), []).unwrap_err();
    assert_eq!(mistakes[0].place, "/no/such/file.toml");
}
