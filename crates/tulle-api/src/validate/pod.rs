//! Rules about what runs in a pod.

use std::collections::HashSet;

use super::kubernetes::check_target;
use super::names;
use super::rules::Rules;
use crate::kubernetes::{
    Container, EnvVar, PodSpec, Probe, ProbeHandler, Volume, VolumeProjection, VolumeSource,
};
use crate::schema::At;
use crate::value::IntOrString;

/// Checks the content of a pod.
pub(super) fn check(spec: &PodSpec, at: &At<'_>, rules: &mut Rules) {
    if spec.containers.is_empty() {
        rules.error(&at.field("containers"), "must have an entry", "give a container");
    }
    let volumes: HashSet<&str> = spec.volumes.iter().map(|v| v.name.as_str()).collect();
    let mut seen = HashSet::new();
    for (field, containers) in [("initContainers", &spec.init_containers), ("containers", &spec.containers)] {
        for (i, container) in containers.iter().enumerate() {
            let list = at.field(field);
            let here = list.index(i);
            if !seen.insert(&container.name) {
                let message = format!("there are two containers named {}", container.name);
                rules.error(&here.field("name"), message, "rename one");
            }
            check_container(container, &volumes, &here, rules);
        }
    }
    check_volumes(&spec.volumes, &at.field("volumes"), rules);
    if let Some(seconds) = spec.termination_grace_period_seconds.filter(|s| *s < 0) {
        rules.error(
            &at.field("terminationGracePeriodSeconds"),
            format!("must be 0 or more but is {seconds}"),
            "",
        );
    }
    if spec.host_network == Some(true) {
        let message = "the pod would share the host's network, which one machine does not offer";
        rules.error(&at.field("hostNetwork"), message, "remove it");
    }
}

fn check_container(container: &Container, volumes: &HashSet<&str>, at: &At<'_>, rules: &mut Rules) {
    rules.check(&at.field("name"), names::dns_label(&container.name));
    // The sidecar may be listed to change single settings of it; its image is the mesh's.
    if container.image.is_empty() && container.command.is_empty() && container.name != "istio-proxy" {
        let message = "is not given, so that the container cannot be started";
        rules.warn(&at.field("image"), message, "name an image, or a command of the host");
    }
    let mut port_names = HashSet::new();
    for (i, port) in container.ports.iter().enumerate() {
        let list = at.field("ports");
        let here = list.index(i);
        rules.check(&here.field("containerPort"), names::port(port.container_port.into()));
        if !port.name.is_empty() {
            rules.check(&here.field("name"), names::port_name(&port.name));
            if !port_names.insert(&port.name) {
                rules.error(
                    &here.field("name"),
                    format!("there are two ports named {}", port.name),
                    "rename one",
                );
            }
        }
    }
    for (i, variable) in container.env.iter().enumerate() {
        let list = at.field("env");
        check_env(variable, &list.index(i), rules);
    }
    for (i, source) in container.env_from.iter().enumerate() {
        let list = at.field("envFrom");
        let set =
            [("configMapRef", source.config_map_ref.is_some()), ("secretRef", source.secret_ref.is_some())];
        exactly_one(&set, &list.index(i), rules);
    }
    for (i, mount) in container.volume_mounts.iter().enumerate() {
        let list = at.field("volumeMounts");
        if !volumes.contains(mount.name.as_str()) {
            let message = format!("the pod has no volume named {:?}", mount.name);
            rules.error(&list.index(i).field("name"), message, "add it to volumes");
        }
    }
    let probes = [
        ("livenessProbe", &container.liveness_probe),
        ("readinessProbe", &container.readiness_probe),
        ("startupProbe", &container.startup_probe),
    ];
    for (field, probe) in probes {
        if let Some(probe) = probe {
            check_probe(probe, container, &at.field(field), rules);
        }
    }
}

fn check_env(variable: &EnvVar, at: &At<'_>, rules: &mut Rules) {
    rules.check(&at.field("name"), names::env_name(&variable.name));
    let Some(source) = &variable.value_from else { return };
    let here = at.field("valueFrom");
    if !variable.value.is_empty() {
        rules.error(&here, "cannot be set together with value", "keep one of them");
    }
    let set = [
        ("fieldRef", source.field_ref.is_some()),
        ("configMapKeyRef", source.config_map_key_ref.is_some()),
        ("secretKeyRef", source.secret_key_ref.is_some()),
        ("resourceFieldRef", source.resource_field_ref.is_some()),
    ];
    exactly_one(&set, &here, rules);
    if let Some(field) = &source.field_ref {
        rules.check(&here.field("fieldRef").field("fieldPath"), pod_field(&field.field_path));
    }
}

/// A field of the pod that the environment or a volume can show.
fn pod_field(path: &str) -> Result<(), String> {
    const PLAIN: [&str; 12] = [
        "metadata.name",
        "metadata.namespace",
        "metadata.uid",
        "metadata.labels",
        "metadata.annotations",
        "spec.nodeName",
        "spec.serviceAccountName",
        "status.hostIP",
        "status.hostIPs",
        "status.podIP",
        "status.podIPs",
        "metadata.generateName",
    ];
    let entry = ["metadata.labels['", "metadata.annotations['"]
        .iter()
        .any(|p| path.starts_with(p) && path.ends_with("']"));
    if entry || PLAIN.contains(&path) {
        return Ok(());
    }
    Err(format!("{path:?} is not a field of the pod that can be shown here"))
}

fn exactly_one(fields: &[(&str, bool)], at: &At<'_>, rules: &mut Rules) {
    rules.exclusive(at, fields);
    if fields.iter().all(|(_, set)| !set) {
        let known: Vec<&str> = fields.iter().map(|(name, _)| *name).collect();
        rules.error(at, "names no source", format!("give one of {}", known.join(", ")));
    }
}

fn check_probe(probe: &Probe, container: &Container, at: &At<'_>, rules: &mut Rules) {
    let times = [
        ("initialDelaySeconds", probe.initial_delay_seconds),
        ("timeoutSeconds", probe.timeout_seconds),
        ("periodSeconds", probe.period_seconds),
        ("successThreshold", probe.success_threshold),
        ("failureThreshold", probe.failure_threshold),
    ];
    for (field, value) in times {
        super::common::not_negative(value, &at.field(field), rules);
    }
    let mut target = |port: Option<&IntOrString>, at: &At<'_>| {
        check_target(port, &at.field("port"), rules);
        if let Some(IntOrString::String(name)) = port
            && container.port_named(name).is_none()
        {
            rules.error(
                &at.field("port"),
                format!("the container has no port named {name:?}"),
                "add it to ports",
            );
        }
    };
    match &probe.handler {
        Some(ProbeHandler::HttpGet(action)) => target(action.port.as_ref(), &at.field("httpGet")),
        Some(ProbeHandler::TcpSocket(action)) => target(action.port.as_ref(), &at.field("tcpSocket")),
        Some(ProbeHandler::Grpc(action)) => {
            rules.check(&at.field("grpc").field("port"), names::port(action.port.into()));
        }
        Some(ProbeHandler::Exec(action)) if action.command.is_empty() => {
            rules.error(&at.field("exec").field("command"), "is required", "");
        }
        Some(ProbeHandler::Exec(_)) => {}
        None => rules.error(at, "does not say how to ask", "give exec, httpGet, tcpSocket or grpc"),
    }
}

fn check_volumes(volumes: &[Volume], at: &At<'_>, rules: &mut Rules) {
    let mut seen = HashSet::new();
    for (i, volume) in volumes.iter().enumerate() {
        let here = at.index(i);
        rules.check(&here.field("name"), names::dns_label(&volume.name));
        if !seen.insert(&volume.name) {
            rules.error(
                &here.field("name"),
                format!("there are two volumes named {}", volume.name),
                "rename one",
            );
        }
        if let Some(VolumeSource::Projected(projected)) = &volume.source {
            let (outer, list) = (here.field("projected"), "sources");
            for (j, source) in projected.sources.iter().enumerate() {
                let sources = outer.field(list);
                if let VolumeProjection::ServiceAccountToken(token) = source
                    && let Some(seconds) = token.expiration_seconds.filter(|s| *s < 600)
                {
                    let one = sources.index(j);
                    let field = one.field("serviceAccountToken");
                    let message = format!("must be 600 or more but is {seconds}");
                    rules.error(&field.field("expirationSeconds"), message, "");
                }
            }
        }
    }
}
