//! A container's environment: services of its namespace, whole ConfigMaps and Secrets, single variables.

use std::collections::BTreeMap;
use std::net::IpAddr;

use tulle_api::Object;
use tulle_api::kubernetes::{
    ConfigMap, Container, EnvVarSource, KeySelector, PodSpec, Secret, Service, TransportProtocol,
};

use super::build::Problem;
use crate::cluster::endpoints::NODE_NAME;
use crate::cluster::view::View;
use crate::net::Ips;
use crate::pod::env::{Environment, is_name};

/// The pod's own fields, for variables and files.
pub(super) struct Fields<'a> {
    pub pod: &'a Object,
    pub spec: &'a PodSpec,
    pub ips: Ips,
    pub host_ips: Ips,
}

impl Fields<'_> {
    /// A field by its path; `None` if there is no such field.
    pub(super) fn get(&self, path: &str) -> Option<String> {
        let meta = &self.pod.meta;
        let of_map = |map: &BTreeMap<String, String>, key: &str| map.get(key).cloned().unwrap_or_default();
        let all = |map: &BTreeMap<String, String>| {
            map.iter().map(|(k, v)| format!("{k}={v:?}")).collect::<Vec<_>>().join("\n")
        };
        let quoted = |rest: &str| rest.strip_prefix("['")?.strip_suffix("']").map(str::to_owned);
        Some(match path {
            "metadata.name" => meta.name.clone(),
            "metadata.namespace" => meta.namespace.clone(),
            "metadata.uid" => meta.uid.clone(),
            "metadata.labels" => all(&meta.labels),
            "metadata.annotations" => all(&meta.annotations),
            "spec.nodeName" => NODE_NAME.into(),
            "spec.serviceAccountName" => self.spec.account().into(),
            "status.podIP" => self.ips.first.to_string(),
            "status.podIPs" => self.ips.joined(),
            "status.hostIP" => self.host_ips.first.to_string(),
            "status.hostIPs" => self.host_ips.joined(),
            _ => {
                if let Some(key) = path.strip_prefix("metadata.labels").and_then(quoted) {
                    of_map(&meta.labels, &key)
                } else {
                    let key = path.strip_prefix("metadata.annotations").and_then(quoted)?;
                    of_map(&meta.annotations, &key)
                }
            }
        })
    }
}

/// What a container gets to see, on top of `base`.
pub(super) fn environment(
    container: &Container,
    fields: &Fields<'_>,
    view: &View,
    base: &[(String, String)],
) -> Result<Environment, Vec<Problem>> {
    let mut env = Environment::default();
    for (name, value) in base {
        env.set(name, value.clone());
    }
    if fields.spec.enable_service_links != Some(false) {
        service_links(&mut env, &fields.pod.meta.namespace, view);
    }
    let namespace = &fields.pod.meta.namespace;
    let mut problems = Vec::new();
    for (i, from) in container.env_from.iter().enumerate() {
        let field = format!("envFrom[{i}]");
        let (values, name, optional) = match (&from.config_map_ref, &from.secret_ref) {
            (Some(r), _) => {
                (config_map(view, namespace, &r.name), format!("ConfigMap {}", r.name), r.optional)
            }
            (None, Some(r)) => (secret(view, namespace, &r.name), format!("Secret {}", r.name), r.optional),
            (None, None) => continue,
        };
        match values {
            Some(values) => {
                for (key, value) in values.into_iter().filter(|(k, _)| is_name(k)) {
                    env.set(&format!("{}{key}", from.prefix), value);
                }
            }
            None if optional == Some(true) => {}
            None => problems.push(Problem::waits(&field, format!("{name} does not exist"))),
        }
    }
    for var in &container.env {
        let field = format!("env {}", var.name);
        match &var.value_from {
            None => env.set_expanded(&var.name, &var.value),
            Some(source) => match value_of(source, fields, view, &field) {
                Ok(Some(value)) => env.set(&var.name, value),
                Ok(None) => {}
                Err(problem) => problems.push(problem),
            },
        }
    }
    if problems.is_empty() { Ok(env) } else { Err(problems) }
}

fn value_of(
    source: &EnvVarSource,
    fields: &Fields<'_>,
    view: &View,
    field: &str,
) -> Result<Option<String>, Problem> {
    let EnvVarSource { field_ref, config_map_key_ref, secret_key_ref, resource_field_ref } = source;
    let namespace = &fields.pod.meta.namespace;
    if let Some(r) = field_ref {
        let value = fields.get(&r.field_path);
        return value.map(Some).ok_or_else(|| {
            Problem::new(field, format!("fieldRef {} is not a field that a variable can take", r.field_path))
        });
    }
    if let Some(key) = config_map_key_ref {
        return key_of(config_map(view, namespace, &key.name), "ConfigMap", key, field);
    }
    if let Some(key) = secret_key_ref {
        return key_of(secret(view, namespace, &key.name), "Secret", key, field);
    }
    if let Some(r) = resource_field_ref {
        return Ok(Some(resource(&r.resource)));
    }
    Ok(None)
}

/// Resources are not limited here: everybody has what the machine has, as on a node without limits.
fn resource(name: &str) -> String {
    if name.ends_with(".cpu") {
        std::thread::available_parallelism().map_or(1, std::num::NonZero::get).to_string()
    } else {
        "0".into()
    }
}

fn key_of(
    values: Option<BTreeMap<String, String>>,
    kind: &str,
    key: &KeySelector,
    field: &str,
) -> Result<Option<String>, Problem> {
    match values.as_ref().map(|v| v.get(&key.key)) {
        Some(Some(value)) => Ok(Some(value.clone())),
        _ if key.optional == Some(true) => Ok(None),
        Some(None) => Err(Problem::waits(field, format!("{kind} {} has no key {}", key.name, key.key))),
        None => Err(Problem::waits(field, format!("{kind} {} does not exist", key.name))),
    }
}

fn config_map(view: &View, namespace: &str, name: &str) -> Option<BTreeMap<String, String>> {
    view.get::<ConfigMap>(namespace, name).map(|(_, c)| c.data.clone())
}

fn secret(view: &View, namespace: &str, name: &str) -> Option<BTreeMap<String, String>> {
    let (_, secret) = view.get::<Secret>(namespace, name)?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Some(secret.values().into_iter().map(|(k, v)| (k.to_owned(), text(v))).collect())
}

/// `CART_SERVICE_HOST` and the like, for every service with an address in the namespace.
fn service_links(env: &mut Environment, namespace: &str, view: &View) {
    for (object, service) in view.all::<Service>() {
        let Some(first) = service.ports.first() else { continue };
        let Ok(ip) = service.cluster_ip.parse::<IpAddr>() else { continue };
        if object.meta.namespace != namespace {
            continue;
        }
        let name = object.meta.name.to_ascii_uppercase().replace('-', "_");
        env.set(&format!("{name}_SERVICE_HOST"), ip.to_string());
        env.set(&format!("{name}_SERVICE_PORT"), first.port.to_string());
        let protocol = |p: TransportProtocol| match p {
            TransportProtocol::Tcp => "tcp",
            TransportProtocol::Udp => "udp",
            TransportProtocol::Sctp => "sctp",
        };
        // IPv6 addresses are in brackets before a port.
        let host = if ip.is_ipv6() { format!("[{ip}]") } else { ip.to_string() };
        env.set(&format!("{name}_PORT"), format!("{}://{host}:{}", protocol(first.transport()), first.port));
        for port in &service.ports {
            if !port.name.is_empty() {
                let port_name = port.name.to_ascii_uppercase().replace('-', "_");
                env.set(&format!("{name}_SERVICE_PORT_{port_name}"), port.port.to_string());
            }
            let transport = protocol(port.transport());
            let stem = format!("{name}_PORT_{}_{}", port.port, transport.to_ascii_uppercase());
            env.set(&stem, format!("{transport}://{host}:{}", port.port));
            env.set(&format!("{stem}_PROTO"), transport);
            env.set(&format!("{stem}_PORT"), port.port.to_string());
            env.set(&format!("{stem}_ADDR"), ip.to_string());
        }
    }
}
