//! Eight times as much to read takes about eight times the work, whatever the document is made of.
//!
//! What is measured is the time on the processor of this thread alone, so that a busy machine does not matter. Work that grew
//! with the square would take 64 times as much.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test that panics is a test that fails")]

use std::fmt::Write as _;

const SMALL: usize = 1500;
const FACTOR: usize = 8;
/// Allowed growth: far from 64, and far enough from 8 for caches and the allocator.
const MOST: f64 = 28.0;

/// Nanoseconds that this thread has run.
fn on_cpu() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    text.split(' ').next().unwrap().parse().unwrap()
}

fn cost(bytes: &[u8]) -> f64 {
    let once = || {
        let before = on_cpu();
        let (objects, diagnostics) = tulle_api::parse_manifests("large.yaml", bytes);
        // What came of it is dropped within the measurement.
        drop((objects, diagnostics));
        on_cpu() - before
    };
    once().min(once())
}

fn list(count: usize, entry: impl Fn(usize) -> String) -> String {
    (0..count).map(entry).collect::<Vec<_>>().join(", ")
}

fn resource(kind: &str, spec: &str) -> String {
    let group = match kind {
        "AuthorizationPolicy" | "PeerAuthentication" => "security",
        _ => "networking",
    };
    format!("apiVersion: {group}.istio.io/v1\nkind: {kind}\nmetadata: {{name: a}}\nspec: {{{spec}}}\n")
}

const ROUTE: &str = "http: [{route: [{destination: {host: a}}]}]";

/// What a document is made of, and one of any size.
type Shape = (&'static str, fn(usize) -> String);

const SHAPES: &[Shape] = &[
    ("hosts", |n| {
        let hosts = list(n, |i| format!("h{i}.example.com"));
        resource("VirtualService", &format!("hosts: [{hosts}], {ROUTE}"))
    }),
    ("wildcard hosts", |n| {
        let hosts = list(n, |i| format!("'*.h{i}.example.com'"));
        resource("VirtualService", &format!("hosts: [{hosts}], {ROUTE}"))
    }),
    ("hosts that overlap", |n| {
        let hosts = list(n, |_| "a.example.com".into());
        resource("VirtualService", &format!("hosts: [{hosts}], {ROUTE}"))
    }),
    ("server names", |n| {
        let (hosts, names) = (list(n, |i| format!("h{i}.a")), list(n, |i| format!("h{i}.b")));
        let tls = format!("[{{match: [{{sniHosts: [{names}]}}], route: [{{destination: {{host: a}}}}]}}]");
        resource("VirtualService", &format!("hosts: [{hosts}], tls: {tls}"))
    }),
    ("routes", |n| {
        let rule =
            |i| format!("{{match: [{{uri: {{exact: /{i}}}}}], route: [{{destination: {{host: a}}}}]}}");
        resource("VirtualService", &format!("hosts: [a], http: [{}]", list(n, rule)))
    }),
    ("unreachable routes", |n| {
        resource(
            "VirtualService",
            &format!("hosts: [a], http: [{}]", list(n, |_| "{route: [{destination: {host: a}}]}".into())),
        )
    }),
    ("unknown fields", |n| {
        let fields = list(n, |i| format!("hots{i}: a"));
        resource("VirtualService", &format!("hosts: [a], {ROUTE}, {fields}"))
    }),
    ("subsets", |n| {
        let subsets = list(n, |i| format!("{{name: s{i}, labels: {{version: v{i}}}}}"));
        resource("DestinationRule", &format!("host: a, subsets: [{subsets}]"))
    }),
    ("localities", |n| {
        let entries = list(n, |i| format!("{{from: r{i}/z/*, to: {{r{i}: 100}}}}"));
        let policy = format!("loadBalancer: {{localityLbSetting: {{distribute: [{entries}]}}}}");
        resource("DestinationRule", &format!("host: a, trafficPolicy: {{{policy}}}"))
    }),
    ("shares", |n| {
        let to = list(n, |i| format!("r{i}/z/s: 1"));
        let policy =
            format!("loadBalancer: {{localityLbSetting: {{distribute: [{{from: a, to: {{{to}}}}}]}}}}");
        resource("DestinationRule", &format!("host: a, trafficPolicy: {{{policy}}}"))
    }),
    ("servers", |n| {
        let server =
            |i| format!("{{port: {{number: 80, name: p{i}, protocol: HTTP}}, hosts: [h{i}.example.com]}}");
        resource("Gateway", &format!("servers: [{}]", list(n, server)))
    }),
    ("egress hosts", |n| {
        resource("Sidecar", &format!("egress: [{{hosts: [{}]}}]", list(n, |i| format!("n{i}/h.example.com"))))
    }),
    ("values of a policy", |n| {
        let values = list(n, |i| format!("/a/{i}/*/b"));
        resource("AuthorizationPolicy", &format!("rules: [{{to: [{{operation: {{paths: [{values}]}}}}]}}]"))
    }),
    ("labels that are none", |n| {
        let labels = list(n, |i| format!("'a b{i}': 'c d'"));
        format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: a, labels: {{{labels}}}}}\n")
    }),
    ("keys", |n| {
        let mut text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata:\n".to_owned();
        (0..n).for_each(|i| writeln!(text, "  k{i}: v").unwrap());
        text
    }),
    ("the same key", |n| "apiVersion: v1\n".repeat(n)),
    ("documents", |n| "apiVersion: v1\nkind: Namespace\nmetadata: {name: a}\n---\n".repeat(n)),
    ("documents with faults", |n| {
        "apiVersion: v1\nkind: Namespace\nmetadata: {nam: a}\n---\na: [\n---\n".repeat(n)
    }),
    ("parts of resources", |n| {
        let mut text =
            "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nspec:\n  subsets:\n".to_owned();
        (0..n).for_each(|_| text.push_str("  - labels: {a: b}\n"));
        text
    }),
    ("aliases", |n| format!("a: &a [b]\nc: [{}]\n", list(n, |_| "*a".into()))),
    ("merge keys", |n| {
        let mut text = "base: &b {x: 1}\nall:\n".to_owned();
        (0..n).for_each(|_| text.push_str("- {<<: *b, y: 2}\n"));
        text
    }),
    ("long text", |n| {
        format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: a}}\ndata:\n  a: |\n{}",
            "    line of text\n".repeat(8 * n)
        )
    }),
    ("comments", |n| "# comment\n".repeat(16 * n)),
    ("open brackets", |n| "[".repeat(16 * n)),
    ("open mappings", |n| "{a: ".repeat(8 * n)),
    ("question marks", |n| "? ".repeat(8 * n)),
    ("dashes", |n| "- ".repeat(8 * n)),
    ("escapes", |n| format!("a: \"{}\"\n", "\\u00e4".repeat(8 * n))),
];

#[test]
fn work_grows_with_the_size() {
    let mut steep = Vec::new();
    for (name, shape) in SHAPES {
        let (small, large) = (shape(SMALL), shape(SMALL * FACTOR));
        // The clock of the processor is told in steps of the scheduler's tick: what is that short grew with nothing.
        let (before, after) = (cost(small.as_bytes()).max(4e6), cost(large.as_bytes()));
        let growth = after / before;
        eprintln!(
            "{name}: {} to {} bytes, {:.1} to {:.1} ms, {growth:.1} times",
            small.len(),
            large.len(),
            before / 1e6,
            after / 1e6
        );
        if growth > MOST {
            steep.push(format!("{name}: {growth:.1} times the work for {FACTOR} times the size"));
        }
    }
    assert!(steep.is_empty(), "{steep:#?}");
}
