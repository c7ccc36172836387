//! `onsale demo`: the whole show, ended when its crowd is done.

use crate::harness::run;

#[test]
fn a_crowd_buys_and_everything_adds_up() {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("demo");
    let shown = run(|command| {
        command.current_dir(temp.path()).args(["demo", "--exit", "--listen", "127.0.0.1:0", "--buyers", "12"]);
        command.args(["--opens-in", "1", "--path"]).arg(&path);
    });
    let (said, errors) = (String::from_utf8_lossy(&shown.stdout), String::from_utf8_lossy(&shown.stderr));
    assert!(shown.status.success(), "{said}{errors}");
    for actual in ["EVENT=", "curl -s $BASE/events/$EVENT", "12 of 12 through", "12 buyers: ", "every invariant holds"]
    {
        assert!(said.contains(actual), "{actual} is not in\n{said}");
    }
    let verified = run(|command| {
        command.args(["verify"]).arg(&path);
    });
    let table = String::from_utf8_lossy(&verified.stdout);
    assert!(verified.status.success() && table.contains("everything is as it must be"), "{table}");

    let again = run(|command| {
        command.current_dir(temp.path()).args(["demo", "--exit", "--listen", "127.0.0.1:0", "--path"]).arg(&path);
    });
    let actual = String::from_utf8_lossy(&again.stderr);
    assert!(!again.status.success() && actual.contains("a demo starts with nothing"), "{actual}");
}
