//! Runs a test inside namespaces of its own: the test program starts itself again there, for that test alone.
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test ends at the first surprise and says why it was skipped"
)]

use std::ffi::OsString;

use rustix::process::WaitOptions;
use tulle_local::sys::spawn::{Child, Namespaces, spawn};

const INSIDE: &str = "TULLE_TEST_INSIDE";

/// Runs `body` as root of new namespaces. Without the right to make them the test is skipped with a message, but fails
/// where `CI=true`.
pub(crate) fn in_namespaces(test: &str, body: impl FnOnce()) {
    if std::env::var(INSIDE).is_ok_and(|t| t == test) {
        return body();
    }
    let args = ["test", test, "--exact", "--nocapture", "--test-threads=1"];
    let mut env: Vec<(OsString, OsString)> = std::env::vars_os().collect();
    env.push((INSIDE.into(), test.into()));
    let child = Child {
        args: args.iter().map(OsString::from).collect(),
        env,
        namespaces: Namespaces { user: true, machine: true },
        ..Child::default()
    };
    let pid = match spawn(&child) {
        Ok(pid) => pid,
        Err(e) if std::env::var("CI").is_ok_and(|v| v == "true") => panic!("no namespaces: {e}"),
        Err(e) => {
            eprintln!("skipped {test}: this machine gives no user namespaces: {e}");
            return;
        }
    };
    let (_, status) = rustix::process::waitpid(Some(pid), WaitOptions::empty()).unwrap().unwrap();
    assert_eq!(status.exit_status(), Some(0), "{test} failed inside its namespaces");
}
