//! README's walk-through, run as it stands there: the server is started by README's own first command, and every
//! command prints what the comment behind it says.

use crate::onsale::{binary, root};
use onsale_benches::process::free_port;
use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How README's first command starts the server.
const CARGO_RUN: &str = "cargo run --release";
/// How long the server may take to be ready.
const TIMEOUT: Duration = Duration::from_secs(60);

#[test]
fn the_readmes_walk_through_works_line_by_line() {
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    let start = only_block(&readme, "sh start");
    let steps = steps(&only_block(&readme, "sh walkthrough"));
    assert!(
        steps.iter().any(|step| step.expected.iter().any(|says| says.contains("CONFIRMED"))),
        "no ticket in the end"
    );
    let temp = tempfile::tempdir().unwrap();
    let port = free_port().unwrap();
    let _server = start_server(&start, port, temp.path());
    let script = temp.path().join("walkthrough.sh");
    std::fs::write(&script, script_of(&steps, temp.path())).unwrap();
    let output = Command::new("bash")
        .args(["-euo", "pipefail"])
        .arg(&script)
        .env("BASE", format!("http://127.0.0.1:{port}"))
        .current_dir(root())
        .stdin(Stdio::null())
        .output()
        .expect("bash runs");
    let (said, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let log = std::fs::read_to_string(temp.path().join("server.log")).unwrap_or_default();
    assert!(output.status.success(), "the walk-through failed:\n{said}\n{errors}\nthe server's log:\n{log}");
}

/// One command and what its output has to contain.
#[derive(Debug, PartialEq, Eq, Default)]
struct Step {
    command: String,
    expected: Vec<String>,
}

/// The one block with that info string.
fn only_block(markdown: &str, info: &str) -> String {
    let fence = format!("```{info}");
    let mut blocks = Vec::new();
    let mut lines = markdown.lines();
    while lines.by_ref().any(|line| line.trim_end() == fence) {
        blocks.push(lines.by_ref().take_while(|line| line.trim_end() != "```").collect::<Vec<_>>().join("\n"));
    }
    assert_eq!(blocks.len(), 1, "README.md has {} blocks of {fence}", blocks.len());
    blocks.remove(0)
}

/// Commands are parted by empty lines and by expectations; other comments are prose.
fn steps(block: &str) -> Vec<Step> {
    let mut steps = vec![Step::default()];
    for line in block.lines() {
        let last = steps.last_mut().unwrap();
        if let Some(says) = line.strip_prefix("# → ") {
            last.expected.push(says.trim_end().to_owned());
        } else if !line.trim().is_empty() && !line.starts_with("# ") {
            if !last.expected.is_empty() {
                steps.push(Step::default());
            }
            writeln!(steps.last_mut().unwrap().command, "{line}").unwrap();
        } else if !last.command.is_empty() {
            steps.push(Step::default());
        }
    }
    steps.retain(|step| !step.command.is_empty() || !step.expected.is_empty());
    assert!(steps.iter().all(|step| !step.command.is_empty()), "an expectation stands without a command");
    steps
}

/// All commands in one shell, so that variables stay; each one's output is checked before the next runs.
fn script_of(steps: &[Step], dir: &Path) -> String {
    let mut script = String::new();
    for (at, Step { command, expected }) in steps.iter().enumerate() {
        let out = dir.join(format!("step-{at}.out")).display().to_string();
        writeln!(script, "{{\n{command}}} >{out}\ncat {out}").unwrap();
        for says in expected {
            let says = says.replace('\'', r"'\''");
            writeln!(script, "grep -qF -- '{says}' {out} || {{ echo 'step {at} does not say: {says}'; exit 1; }}")
                .unwrap();
        }
    }
    script
}

/// The server of README's first command, with the binary that is built already, on another port and other data.
fn start_server(command: &str, port: u16, dir: &Path) -> Running {
    assert!(command.trim_end().ends_with(CARGO_RUN), "the first command is: {command}");
    let command = command.trim_end().replace(CARGO_RUN, &format!("exec '{}'", binary().display()));
    let log = std::fs::File::create(dir.join("server.log")).unwrap();
    let child = Command::new("bash")
        .args(["-euo", "pipefail", "-c", &command])
        .env("ONSALE__SERVER__LISTEN", format!("127.0.0.1:{port}"))
        .env("ONSALE__STORAGE__PATH", dir.join("data"))
        .current_dir(root())
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .expect("bash runs");
    let mut running = Running(child);
    let until = Instant::now() + TIMEOUT;
    while !is_ready(port) {
        let ended = running.0.try_wait().unwrap();
        let log = || std::fs::read_to_string(dir.join("server.log")).unwrap_or_default();
        assert!(ended.is_none() && Instant::now() < until, "not ready ({ended:?}):\n{}", log());
        std::thread::park_timeout(Duration::from_millis(20));
    }
    running
}

/// Killed when dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn is_ready(port: u16) -> bool {
    let ask = || -> std::io::Result<String> {
        let mut socket = TcpStream::connect(("127.0.0.1", port))?;
        socket.write_all(b"GET /health/ready HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        socket.read_to_string(&mut answer)?;
        Ok(answer)
    };
    ask().is_ok_and(|answer| answer.starts_with("HTTP/1.1 200"))
}

#[test]
fn blocks_become_steps_with_what_they_must_say() {
    let readme = "# Title\n\n```sh start\nA=b cargo run --release\n```\n\n```sh walkthrough\n# Prose.\nA=1\nB=2\n\n\
        echo \"$A\"\n# → 1\n# → not '2'\necho {\\\n}\n```\n";
    assert_eq!(only_block(readme, "sh start"), "A=b cargo run --release");
    let steps = steps(&only_block(readme, "sh walkthrough"));
    let step = |command: &str, expected: &[&str]| Step {
        command: command.into(),
        expected: expected.iter().map(|says| (*says).to_owned()).collect(),
    };
    let expected = [step("A=1\nB=2\n", &[]), step("echo \"$A\"\n", &["1", "not '2'"]), step("echo {\\\n}\n", &[])];
    assert_eq!(steps, expected);
}

#[test]
fn a_step_that_does_not_say_so_fails_by_its_text() {
    let run = |block: &str| {
        let temp = tempfile::tempdir().unwrap();
        let script = script_of(&steps(block), temp.path());
        Command::new("bash").args(["-euo", "pipefail", "-c", &script]).output().unwrap()
    };
    let good = run("A='it''s'\n\necho \"$A\"\n# → its\n");
    assert!(good.status.success(), "{good:?}");
    let bad = run("echo yes\n# → it's no\n\necho more\n");
    assert!(!bad.status.success());
    let said = String::from_utf8_lossy(&bad.stdout).into_owned();
    assert!(said.contains("step 0 does not say: it") && !said.contains("more"), "{said}");
    assert!(!run("false\n\necho more\n").status.success());
}
