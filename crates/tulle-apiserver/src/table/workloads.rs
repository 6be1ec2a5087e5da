//! Deployments and what else keeps pods running.

use serde_json::{Value, json};

use super::read::{condition, join, labels, list, number, selector, since_creation, text};
use super::{AGE, Column, View, age, number as count, text as column, wide};

const READY: Column = column("Ready", "How many pods are ready, of how many.");
const DESIRED: Column = count("Desired", "How many pods there should be.");
const CURRENT: Column = count("Current", "How many pods there are.");
const READY_COUNT: Column = count("Ready", "How many pods are ready.");
const UP_TO_DATE: Column = count("Up-to-date", "How many pods have the newest template.");
const AVAILABLE: Column = count("Available", "How many pods have been ready for long enough.");
const CONTAINERS: Column = wide("Containers", "Names of the containers.");
const IMAGES: Column = wide("Images", "Images of the containers.");
const SELECTOR: Column = wide("Selector", "Labels of the pods.");

pub(super) const DEPLOYMENT: View = View {
    columns: &[READY, UP_TO_DATE, AVAILABLE, AGE, CONTAINERS, IMAGES, SELECTOR],
    cells: |object, now| {
        let mut cells = vec![
            ready(object),
            json!(number(object, "/status/updatedReplicas")),
            json!(number(object, "/status/availableReplicas")),
            since_creation(object, now),
        ];
        cells.extend(template(object));
        cells.push(selector(object, "/spec/selector"));
        cells
    },
};

pub(super) const REPLICA_SET: View = View {
    columns: &[DESIRED, CURRENT, READY_COUNT, AGE, CONTAINERS, IMAGES, SELECTOR],
    cells: |object, now| {
        let mut cells = vec![
            json!(wanted(object)),
            json!(number(object, "/status/replicas")),
            json!(number(object, "/status/readyReplicas")),
            since_creation(object, now),
        ];
        cells.extend(template(object));
        cells.push(selector(object, "/spec/selector"));
        cells
    },
};

pub(super) const STATEFUL_SET: View = View {
    columns: &[READY, AGE, CONTAINERS, IMAGES],
    cells: |object, now| {
        let mut cells = vec![ready(object), since_creation(object, now)];
        cells.extend(template(object));
        cells
    },
};

pub(super) const DAEMON_SET: View = View {
    columns: &[
        DESIRED,
        CURRENT,
        READY_COUNT,
        UP_TO_DATE,
        AVAILABLE,
        column("Node Selector", "Labels of the nodes."),
        AGE,
        CONTAINERS,
        IMAGES,
        SELECTOR,
    ],
    cells: |object, now| {
        let status = |name: &str| json!(number(object, &format!("/status/{name}")));
        let mut cells = vec![
            status("desiredNumberScheduled"),
            status("currentNumberScheduled"),
            status("numberReady"),
            status("updatedNumberScheduled"),
            status("numberAvailable"),
            labels(object, "/spec/template/spec/nodeSelector"),
            since_creation(object, now),
        ];
        cells.extend(template(object));
        cells.push(selector(object, "/spec/selector"));
        cells
    },
};

pub(super) const JOB: View = View {
    columns: &[
        column("Status", "Whether the job runs, is complete or has failed."),
        column("Completions", "How many pods ended well, of how many."),
        column("Duration", "How long it took, or takes until now."),
        AGE,
        CONTAINERS,
        IMAGES,
        SELECTOR,
    ],
    cells: |object, now| {
        let holds = |name: &str| condition(object, name).is_some_and(|c| c["status"] == "True");
        let status = ["Complete", "Failed", "Suspended"].into_iter().find(|name| holds(name));
        let wanted = object.pointer("/spec/completions").and_then(Value::as_i64).unwrap_or(1);
        let (start, end) = (text(object, "/status/startTime"), text(object, "/status/completionTime"));
        let until = end.parse::<jiff::Timestamp>().map_or(now, |t| t.as_second());
        let duration = if start.is_empty() { String::new() } else { age(start, until) };
        let mut cells = vec![
            json!(status.unwrap_or("Running")),
            json!(format!("{}/{wanted}", number(object, "/status/succeeded"))),
            json!(duration),
            since_creation(object, now),
        ];
        cells.extend(template(object));
        cells.push(selector(object, "/spec/selector"));
        cells
    },
};

fn wanted(object: &Value) -> i64 {
    object.pointer("/spec/replicas").and_then(Value::as_i64).unwrap_or(1)
}

fn ready(object: &Value) -> Value {
    json!(format!("{}/{}", number(object, "/status/readyReplicas"), wanted(object)))
}

/// Names and images of the template's containers.
fn template(object: &Value) -> [Value; 2] {
    let containers = list(object, "/spec/template/spec/containers");
    ["/name", "/image"].map(|field| join(containers.iter().map(|c| text(c, field)), false))
}
