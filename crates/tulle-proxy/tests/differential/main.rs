//! The same bootstrap and the same requests through a stock Envoy 1.40 and through ours: what clients receive, what upstreams
//! see and what access logs say must agree.
//!
//! `ENVOY=/path/to/envoy cargo test -p tulle-proxy --test differential -- --nocapture` runs everything; `./test` unpacks an Envoy
//! and does so. Each area is one bootstrap: Envoy runs its cases, then ours does, on the same ports and with the same upstreams.
//! `CASE=text` picks cases whose name holds that text, `VERBOSE=1` prints both sides of every case, `KEEP=1` leaves the bootstrap
//! that Envoy got where it says, `ENVOY_LOG=debug` makes Envoy talkative (`envoy.log` beside the bootstrap, shown when it does not start).
//!
//! # Adding a case
//!
//! Take the area's file, or begin a new one (a function that returns an [`Area`], and a line in [`AREAS`]):
//!
//! ```text
//! let mut a = Area::new("rewrites");
//! a.cluster("app", &["one"], json!({}));                       // an upstream called `one` comes with it
//! a.http("in", any_host(json!([prefix("/old", "app", json!({ "prefix_rewrite": "/new" }))])), json!({}));
//! a.case("a prefix is replaced", "in", get("/old/x?q"));       // answers 200 `from one` unless told
//! a.case("and on an error", "in", get("/old")).answer(status(500).header("x-why", "because"));
//! ```
//!
//! * what is sent: [`harness::case`]: `get`, `post`, `grpc`, `raw` bytes, several `Turn`s on one connection, `h2(…)`, `Talk::Tcp`;
//! * what upstreams answer, request by request: [`harness::answer`]: status, fields, body, trailers, delay, resets, lies;
//! * the bootstrap: [`harness::config`]; `{NAME}` stands for an upstream's address, `{listener:NAME}` for a listener's port;
//! * [`Area::logging`] compares access log lines too (each waits for the log, so not in every area);
//! * a case in which both differ for a reason is listed in `differences.rs`; it fails as soon as it no longer differs.
//!   `docs/envoy-differences.md` tells users of the same differences.
//!
//! Generated cases (`generated_*.rs`) come from a fixed seed; a disagreement prints the case, which holds everything needed.

#![allow(
    unreachable_pub,
    missing_docs,
    dead_code,
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test; a failed unwrap is a failed test"
)]

#[path = "../common/mod.rs"]
mod common;
mod configs;
mod configs_differences;
mod differences;
mod harness;

use harness::Area;

/// Declares an area's module and its test, and lists it.
macro_rules! areas {
    ($($name:ident),* $(,)?) => {
        $(mod $name;)*

        /// Every area.
        const AREAS: &[fn() -> Area] = &[$($name::area),*];

        mod agrees_with_envoy {
            $(#[test]
            fn $name() {
                super::$name::area().run();
            })*
        }
    };
}

areas!(
    paths,
    matchers,
    hosts,
    rewrites,
    redirects,
    header_ops,
    normalize,
    identity,
    cors,
    timeouts,
    retries,
    sessions,
    faults,
    rbac,
    balance,
    limits,
    grpc,
    grpc_web,
    local_replies,
    small_filters,
    compression,
    ext_authz,
    rate_limits,
    jwt,
    health_checks,
    http1,
    http2,
    tcp,
    carried,
    forward_proxy,
    ipv6,
    access_log,
    log_services,
    tracing,
    generated_routes,
    generated_changes,
    generated_rbac,
);

#[test]
fn there_are_at_least_400_cases() {
    let sizes: Vec<(&str, usize)> =
        AREAS.iter().map(|area| area()).map(|a| (a.name, a.cases.len())).collect();
    let total: usize = sizes.iter().map(|(_, n)| n).sum();
    eprintln!("differential: {total} cases: {sizes:?}");
    assert!(total >= 400, "{total}: {sizes:?}");
}

#[test]
fn the_table_of_differences_is_used_and_documented() {
    let names: Vec<(&str, Vec<String>)> = AREAS
        .iter()
        .map(|area| area())
        .map(|a| (a.name, a.cases.into_iter().map(|c| c.name).collect()))
        .collect();
    let page = include_str!("../../../../docs/envoy-differences.md");
    for difference in differences::DIFFERENCES {
        let id = difference.id;
        assert!(
            page.contains(&format!("`{id}`")),
            "docs/envoy-differences.md does not tell of {id}: {}",
            difference.reason
        );
        for (area, patterns) in difference.cases {
            let cases = names.iter().find(|(name, _)| name == area).map(|(_, cases)| cases);
            for pattern in *patterns {
                let shown =
                    cases.is_some_and(|cases| cases.iter().any(|case| differences::fits(pattern, case)));
                assert!(shown, "{id}: there is no case {pattern:?} in {area}");
            }
        }
    }
}
