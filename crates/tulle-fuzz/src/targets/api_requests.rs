//! What clients of the resource API write by hand: paths, parameters, selectors, bodies.

use crate::Target;

pub(crate) const TARGET: Target = Target {
    name: "api_requests",
    run,
    words: &[
        "/api/v1/",
        "/apis/",
        "namespaces/",
        "/status",
        "?",
        "&",
        "=",
        "%2C",
        "%",
        "labelSelector=",
        "fieldSelector=",
        " in (",
        "notin",
        "!",
        ",",
        "==",
        "!=",
        "metadata.name",
        "status.phase",
        "watch=true",
        "limit=",
        "continue=",
        "timeoutSeconds=",
        "dryRun=All",
        "fieldValidation=Strict",
        "9999999999999999999",
        "\n",
        ">",
        "<",
    ],
};

/// The first line is the path, the second what stands behind the `?`, the rest the body.
fn run(bytes: &[u8]) {
    let mut parts = bytes.splitn(3, |b| *b == b'\n');
    let mut text = || std::str::from_utf8(parts.next().unwrap_or_default()).unwrap_or_default();
    let (path, query) = (text(), text());
    tulle_apiserver::read_request(path, query, parts.next().unwrap_or_default());
}
