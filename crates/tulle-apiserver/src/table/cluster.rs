//! Namespaces, configuration, identities, nodes and events.

use serde_json::{Value, json};

use super::read::{condition, count, list, number, since_creation, some, text, text_or_none};
use super::{AGE, Column, View, age, number as counted, text as column, wide};

pub(super) const NAMESPACE: View = View {
    columns: &[column("Status", "Where the namespace is in its life."), AGE],
    cells: |object, now| {
        let ending = !text(object, "/metadata/deletionTimestamp").is_empty();
        let phase = match text(object, "/status/phase") {
            _ if ending => "Terminating",
            "" => "Active",
            phase => phase,
        };
        vec![json!(phase), since_creation(object, now)]
    },
};

const DATA: Column = counted("Data", "How many values it has.");

pub(super) const CONFIG_MAP: View = View {
    columns: &[DATA, AGE],
    cells: |object, now| {
        vec![json!(count(object, "/data") + count(object, "/binaryData")), since_creation(object, now)]
    },
};

pub(super) const SECRET: View = View {
    columns: &[column("Type", "What it holds."), DATA, AGE],
    cells: |object, now| {
        let kind = Some(text(object, "/type")).filter(|t| !t.is_empty()).unwrap_or("Opaque");
        vec![json!(kind), json!(count(object, "/data")), since_creation(object, now)]
    },
};

pub(super) const SERVICE_ACCOUNT: View = View {
    columns: &[counted("Secrets", "How many secrets it names."), AGE],
    cells: |object, now| vec![json!(count(object, "/secrets")), since_creation(object, now)],
};

pub(super) const NODE: View = View {
    columns: &[
        column("Status", "Whether the node is ready."),
        column("Roles", "What the node is for."),
        AGE,
        column("Version", "Version of what runs pods there."),
        wide("Internal-IP", "Its address inside."),
        wide("External-IP", "Its address outside."),
        wide("OS-Image", "Its operating system."),
        wide("Kernel-Version", "Its kernel."),
        wide("Container-Runtime", "What runs containers there."),
    ],
    cells: |object, now| {
        let ready = match condition(object, "Ready") {
            Some(c) if c["status"] == "True" => "Ready",
            Some(_) => "NotReady",
            None => "Unknown",
        };
        let address = |kind: &str| {
            let found = list(object, "/status/addresses").iter().find(|a| a["type"] == kind);
            json!(some(found.map_or("", |a| text(a, "/address"))))
        };
        let labels = object.pointer("/metadata/labels").and_then(Value::as_object);
        let roles: Vec<&str> = labels
            .into_iter()
            .flatten()
            .filter_map(|(name, _)| name.strip_prefix("node-role.kubernetes.io/"))
            .collect();
        let info = |name: &str| json!(text(object, &format!("/status/nodeInfo/{name}")));
        vec![
            json!(ready),
            json!(some(&roles.join(","))),
            since_creation(object, now),
            info("kubeletVersion"),
            address("InternalIP"),
            address("ExternalIP"),
            info("osImage"),
            info("kernelVersion"),
            info("containerRuntimeVersion"),
        ]
    },
};

pub(super) const EVENT: View = View {
    columns: &[
        column("Last Seen", "When it happened last."),
        column("Type", "Normal or Warning."),
        column("Reason", "What happened, in one word."),
        column("Object", "The object that it is about."),
        wide("Subobject", "The part of the object."),
        wide("Source", "Who says so."),
        column("Message", "What happened."),
        wide("First Seen", "When it happened first."),
        wide("Count", "How often it happened."),
    ],
    cells: |object, now| {
        let first = |pointers: [&str; 3]| {
            let moments = pointers.map(|p| text(object, p));
            json!(age(moments.into_iter().find(|t| !t.is_empty()).unwrap_or_default(), now))
        };
        let kind = text(object, "/involvedObject/kind").to_lowercase();
        vec![
            first(["/lastTimestamp", "/eventTime", "/metadata/creationTimestamp"]),
            json!(text(object, "/type")),
            json!(text(object, "/reason")),
            json!(format!("{kind}/{}", text(object, "/involvedObject/name"))),
            json!(text(object, "/involvedObject/fieldPath")),
            text_or_none(object, "/source/component"),
            json!(text(object, "/message").trim()),
            first(["/firstTimestamp", "/eventTime", "/metadata/creationTimestamp"]),
            json!(number(object, "/count").max(1).to_string()),
        ]
    },
};
