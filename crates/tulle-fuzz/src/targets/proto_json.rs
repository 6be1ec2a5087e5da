//! Messages of Envoy's API as JSON, and as bytes to be written as JSON.

use std::sync::LazyLock;

use tulle_proto::json::Json;

use crate::Target;

pub(crate) const TARGET: Target = Target {
    name: "proto_json",
    run,
    words: &[
        "{",
        "}",
        "[",
        "]",
        ":",
        ",",
        "null",
        "\"1.5s\"",
        "\"@type\":",
        "\"name\":",
        "\"type.googleapis.com/",
        "1e30",
        "\"NaN\"",
        "\"AAAA\"",
        "-1",
        "\"listeners\":",
        "\"clusters\":",
        "\"typed_config\":",
        "\"typedConfig\":",
    ],
};

/// The descriptors are part of the program and are read in every start of it.
static JSON: LazyLock<Option<Json>> = LazyLock::new(|| Json::load().ok());

const MESSAGES: [&str; 6] = [
    "envoy.config.bootstrap.v3.Bootstrap",
    "envoy.config.listener.v3.Listener",
    "envoy.config.cluster.v3.Cluster",
    "envoy.config.route.v3.RouteConfiguration",
    "envoy.config.endpoint.v3.ClusterLoadAssignment",
    "envoy.service.discovery.v3.DiscoveryResponse",
];

fn run(bytes: &[u8]) {
    let Some(json) = JSON.as_ref() else { return };
    // The first byte chooses the message.
    let Some((choice, rest)) = bytes.split_first() else { return };
    let message = MESSAGES[usize::from(*choice) % MESSAGES.len()];
    if let Ok(document) = serde_json::from_slice(rest)
        && let Ok(encoded) = json.encode(message, &document)
    {
        let written = json.decode(message, &encoded);
        assert!(written.is_ok(), "{message} cannot be written again: {written:?}");
    }
    if let Ok(document) = json.decode(message, rest) {
        // Some messages hold what JSON has no words for, such as text that is no UTF-8 in an Any: that is refused.
        let _ = json.encode(message, &document);
    }
}
