//! Istio's limits on the number of entries, one rule each.

#![allow(clippy::unwrap_used, reason = "a test that panics is a test that fails")]

use std::fmt::Write as _;

fn many(count: usize, entry: impl Fn(usize) -> String) -> String {
    (0..count).map(entry).collect::<Vec<_>>().join(", ")
}

/// Checks that `spec` with `most` entries is good and that one more is refused at `field`, with the number.
#[track_caller]
fn check(api_version: &str, kind: &str, field: &str, most: usize, spec: impl Fn(usize) -> String) {
    let read = |count| {
        let mut text = String::new();
        writeln!(text, "apiVersion: {api_version}\nkind: {kind}\nmetadata: {{name: a}}").unwrap();
        writeln!(text, "spec: {}", spec(count)).unwrap();
        let (objects, found) = tulle_api::parse_manifests("f", text.as_bytes());
        let errors = found.iter().filter(|d| d.severity == tulle_base::Severity::Error);
        (objects.len(), errors.map(ToString::to_string).collect::<Vec<_>>())
    };
    assert_eq!(read(most), (1, vec![]), "{field}");
    let wanted =
        format!("f:4: {kind} default/a: {field}: has at most {most} entries, not {}; split it", most + 1);
    assert_eq!(read(most + 1), (0, vec![wanted]));
}

#[test]
fn every_list_has_its_limit() {
    let security = "security.istio.io/v1";
    let networking = "networking.istio.io/v1";
    check(security, "AuthorizationPolicy", "spec.rules", 512, |n| {
        format!("{{rules: [{}]}}", many(n, |_| "{}".into()))
    });
    check(security, "AuthorizationPolicy", "spec.rules[0].from", 512, |n| {
        format!("{{rules: [{{from: [{}]}}]}}", many(n, |i| format!("{{source: {{namespaces: [n{i}]}}}}")))
    });
    check(security, "RequestAuthentication", "spec.jwtRules", 4096, |n| {
        format!("{{jwtRules: [{}]}}", many(n, |i| format!("{{issuer: i{i}}}")))
    });
    check(security, "RequestAuthentication", "spec.jwtRules[0].spaceDelimitedClaims", 64, |n| {
        format!("{{jwtRules: [{{issuer: a, spaceDelimitedClaims: [{}]}}]}}", many(n, |i| format!("c{i}")))
    });
    check(security, "PeerAuthentication", "spec.selector.matchLabels", 4096, |n| {
        format!("{{selector: {{matchLabels: {{{}}}}}}}", many(n, |i| format!("l{i}: v")))
    });
    check(networking, "DestinationRule", "spec.trafficPolicy.portLevelSettings", 4096, |n| {
        let ports = many(n, |i| format!("{{port: {{number: {}}}, outlierDetection: {{}}}}", i + 1));
        format!("{{host: a, trafficPolicy: {{portLevelSettings: [{ports}]}}}}")
    });
    let entry = |field: &str, list: &str| {
        let hosts = if field == "hosts" { String::new() } else { "hosts: [a.b], ".to_owned() };
        format!("{{{hosts}{field}: [{list}], resolution: STATIC}}")
    };
    check(networking, "ServiceEntry", "spec.hosts", 256, |n| {
        entry("hosts", &many(n, |i| format!("h{i}.example.com")))
    });
    check(networking, "ServiceEntry", "spec.addresses", 256, |n| {
        entry("addresses", &many(n, |i| format!("10.0.{}.{}", i / 256, i % 256)))
    });
    check(networking, "ServiceEntry", "spec.ports", 256, |n| {
        entry("ports", &many(n, |i| format!("{{number: {}, name: p{i}, protocol: HTTP}}", i + 1)))
    });
    check(networking, "ServiceEntry", "spec.endpoints", 4096, |n| {
        entry("endpoints", &many(n, |i| format!("{{address: 10.0.{}.{}}}", i / 256, i % 256)))
    });
    check(networking, "WorkloadEntry", "spec.ports", 128, |n| {
        format!("{{address: 1.2.3.4, ports: {{{}}}}}", many(n, |i| format!("p{i}: {}", i + 1)))
    });
    check(networking, "WorkloadEntry", "spec.labels", 256, |n| {
        format!("{{address: 1.2.3.4, labels: {{{}}}}}", many(n, |i| format!("l{i}: v")))
    });
}

#[test]
fn texts_and_bodies_have_their_limits() {
    let errors = |kind: &str, spec: String| {
        let group = if kind == "RequestAuthentication" { "security" } else { "networking" };
        let text =
            format!("apiVersion: {group}.istio.io/v1\nkind: {kind}\nmetadata: {{name: a}}\nspec: {spec}\n");
        let found = tulle_api::parse_manifests("f", text.as_bytes()).1;
        // What is not in force yet is another matter.
        let found = found.iter().filter(|d| !d.message.contains("not in force yet"));
        found.map(|d| format!("{}: {}: {}", d.severity, d.field, d.message)).collect::<Vec<_>>()
    };
    let long = |n: usize| "a".repeat(n);
    let entry = |field: &str, n: usize| {
        errors("WorkloadEntry", format!("{{address: 1.2.3.4, {field}: {}}}", long(n)))
    };
    for (field, most) in [("network", 2048), ("locality", 2048), ("serviceAccount", 253)] {
        assert_eq!(entry(field, most), [""; 0]);
        let wanted = format!("error: spec.{field}: has {} characters, at most {most} are allowed", most + 1);
        assert_eq!(entry(field, most + 1), [wanted]);
    }
    let uri = format!("{{jwtRules: [{{issuer: a, jwksUri: 'https://a/{}'}}]}}", long(2048));
    let wanted = "error: spec.jwtRules[0].jwksUri: the address has 2058 characters, at most 2048 are allowed";
    assert_eq!(errors("RequestAuthentication", uri), [wanted]);
    let body = |n: usize| {
        errors(
            "VirtualService",
            format!(
                "{{hosts: [a], http: [{{directResponse: {{status: 200, body: {{string: {}}}}}}}]}}",
                long(n)
            ),
        )
    };
    assert_eq!(body(100 << 10), [""; 0]);
    let heavy = "warning: spec.http[0].directResponse.body: has 102401 bytes, which every proxy that sees this \
                 route keeps in memory";
    assert_eq!(body((100 << 10) + 1), [heavy]);
    assert_eq!(
        body((1 << 20) + 1),
        ["error: spec.http[0].directResponse.body: has 1048577 bytes, more than 1 MiB"]
    );
    let regex = format!(
        "{{hosts: [a], http: [{{match: [{{uri: {{regex: {}}}}}], route: [{{destination: {{host: a}}}}]}}]}}",
        long(1025)
    );
    let wanted = "error: spec.http[0].match[0].uri.regex: the regular expression has 1025 characters, at most 1024 \
                  are allowed";
    assert_eq!(errors("VirtualService", regex), [wanted]);
}
