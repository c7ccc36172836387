//! A configuration with mistakes: every one is reported, nothing is started, the exit code is 2.

use crate::harness::{run, write};

fn check(file: &str, overrides: &[(&str, &str)], expected: &[&str]) {
    let directory = tempfile::tempdir().unwrap();
    let path = write(directory.path(), "other.toml", file);
    let output = run(|command| {
        command.current_dir(directory.path()).arg("--config").arg(&path).envs(overrides.iter().copied());
    });
    let actual = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{actual}");
    for part in expected {
        assert!(actual.contains(part), "{part:?} is not in\n{actual}");
    }
    assert!(!directory.path().join("data").exists(), "nothing was started");
}

#[test]
fn every_key_and_reason_is_reported_in_one_run() {
    let file = "[server]\nlisten = \"here\"\nlissen = 1\n[payments]\nprovider = \"x\"\n[engine]\narbiters = 0\n";
    let overrides = [
        ("ONSALE__AUTH__JWT_SECRET", "too short"),
        ("ONSALE__STORAGE__KIND", "postgres"),
        ("ONSALE__NO__SUCH_KEY", "1"),
        ("ONSALE_SERVER__LISTEN", "127.0.0.1:18080"),
    ];
    let expected = [
        "server.listen: must be an address and port",
        "server.lissen: unknown key",
        "payments: unknown section",
        "engine.arbiters: must be from 1 to 64",
        "ONSALE__AUTH__JWT_SECRET: must have at least 32 bytes, it has 9",
        "postgres.url: must be set for storage.kind = \"postgres\"",
        "ONSALE__NO__SUCH_KEY: unknown key",
        "ONSALE_SERVER__LISTEN: is not read; did you mean ONSALE__SERVER__LISTEN?",
    ];
    check(file, &overrides, &expected);
}

#[test]
fn a_variable_that_is_nearly_a_key_is_a_mistake_of_the_check_too() {
    let directory = tempfile::tempdir().unwrap();
    let check = |name: &str| {
        let output = run(|command| {
            let port = ("ONSALE__SERVER__LISTEN", "127.0.0.1:0");
            command.current_dir(directory.path()).arg("check").envs([port, (name, "127.0.0.1:1")]);
        });
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    for name in ["ONSALE_SERVER__LISTEN", "ONSALE_SERVER_LISTEN", "onsale__server__listen", "ONSALE__SERVER_LISTEN"] {
        let (code, actual) = check(name);
        assert_eq!(code, Some(2), "{name}: {actual}");
        assert!(actual.contains(name) && actual.contains("did you mean ONSALE__SERVER__LISTEN?"), "{name}: {actual}");
    }
    // What a cluster sets for a service of that name, and what scripts have for themselves.
    for name in ["ONSALE_SERVICE_HOST", "ONSALE_PORT_8080_TCP", "ONSALE_STORAGE", "ONSALE_SECRET"] {
        let (code, actual) = check(name);
        assert_eq!(code, Some(0), "{name}: {actual}");
    }
}

#[test]
fn a_file_that_is_no_toml_is_reported_with_its_place() {
    check("[server]\nlisten = \n", &[], &["the file: is no TOML: line 2, column "]);
}

#[test]
fn no_mistake_repeats_a_secret() {
    const ADMINS: [&str; 3] = ["very-private", "admin:very-private", "admin@example.org:very-private"];
    const POSTGRES: [&str; 5] = [
        "postgres://u:very-private@host:port/x",
        "postgres://u:p@very-private@host/x",
        "mysql://u:very-private@host/x",
        "postgres://u:very-private@host/x?sslmode=very-private",
        "postgres://u:very-private@host/x?connect_timeout=very-private",
    ];
    const REDIS: [&str; 3] =
        ["redis://u:very-private@host:port", "redis://:very-private@host/very-private", "http://very-private"];
    let of = |name: &'static str, values: &'static [&'static str]| values.iter().map(move |value| (name, *value));
    let overrides = of("ONSALE_BOOTSTRAP_ADMIN", &ADMINS)
        .chain(of("ONSALE__POSTGRES__URL", &POSTGRES))
        .chain(of("ONSALE__REDIS__URL", &REDIS));
    let directory = tempfile::tempdir().unwrap();
    let files = [
        "[auth]\njwt_secret = \"very-private\n",
        "[auth]\njwt_secret = very-private\n",
        "[auth]\nvery-private\n",
        "[auth]\njwt_secret = \"a\"\njwt_secret = \"very-private\"\n",
        "[auth]\njwt_secret = [\"very-private\"]\n",
        "[postgres]\nurl = \"postgres://u:very-private@host:port/x\"\n",
    ];
    let outputs = files.iter().map(|file| (*file, None)).chain(overrides.map(|over| ("", Some(over))));
    for (file, over) in outputs {
        let path = write(directory.path(), "other.toml", file);
        let output = run(|command| {
            command.current_dir(directory.path()).arg("check").arg("--config").arg(&path).envs(over);
        });
        let actual = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert_eq!(output.status.code(), Some(2), "{file} {over:?}: {actual}");
        assert!(!actual.contains("very-private"), "{file} {over:?}: {actual}");
    }
}

#[test]
fn a_file_that_was_named_must_be_there() {
    let output = run(|command| {
        command.args(["serve", "--config", "/no/such/file.toml"]);
    });
    let actual = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2));
    assert!(actual.contains("/no/such/file.toml: "), "{actual}");
}

#[test]
fn every_command_explains_itself() {
    for args in [&["--help"][..], &["serve", "--help"], &["verify", "--help"]] {
        let output = run(|command| {
            command.args(args);
        });
        assert!(output.status.success());
        assert!(String::from_utf8_lossy(&output.stdout).contains("--config"));
    }
    let unknown = run(|command| {
        command.arg("sell");
    });
    assert_eq!(unknown.status.code(), Some(2));
}
