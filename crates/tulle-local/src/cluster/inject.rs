//! Sidecar injection: who gets one, and what is added to the pod.

use serde_json::json;
use tulle_api::kubernetes::{
    ConfigMapVolume, Container, ContainerPort, HttpGetAction, PodSpec, Probe, ProbeHandler, ProjectedVolume,
    RestartPolicy, ServiceAccountTokenProjection, Volume, VolumeProjection, VolumeSource,
};
use tulle_api::value::IntOrString;
use tulle_api::{Object, Resource as _, Spec};
use tulle_base::Labels;

use super::Action;
use super::view::View;

/// Name of the proxy's container.
pub const PROXY: &str = "istio-proxy";
/// Image of the proxy's container: this program.
pub const PROXY_IMAGE: &str = "tulle.dev/proxy";
/// Volume with the token for the certificate authority.
pub const TOKEN_VOLUME: &str = "istio-token";
/// Volume with the roots of the mesh.
pub const ROOT_VOLUME: &str = "istiod-ca-cert";
/// ConfigMap with the roots of the mesh, in every namespace.
pub const ROOT_CONFIG_MAP: &str = "istio-ca-root-cert";
/// Set on every pod once it was decided about.
pub const DECIDED: &str = "local.tulle.dev/injection";

const INJECT: &str = "sidecar.istio.io/inject";
const STATUS: &str = "sidecar.istio.io/status";
const REVISION: &str = "istio.io/rev";
const NEVER: [&str; 4] = ["kube-system", "kube-public", "kube-node-lease", "local-path-storage"];

/// Whether a pod gets a sidecar.
pub fn wants_sidecar(namespace: &str, namespace_labels: &Labels, pod: &Object, spec: &PodSpec) -> bool {
    if spec.host_network == Some(true) || NEVER.contains(&namespace) {
        return false;
    }
    let of = |labels: &Labels, key: &str| labels.get(key).cloned();
    let explicit = of(&pod.meta.labels, INJECT).or_else(|| of(&pod.meta.annotations, INJECT));
    if explicit.as_deref().is_some_and(|v| v != "true") {
        return false;
    }
    match (of(namespace_labels, "istio-injection").as_deref(), of(namespace_labels, REVISION).as_deref()) {
        (Some("enabled"), _) => true,
        (Some("disabled"), _) => false,
        (_, Some(revision)) => is_ours(revision),
        _ => match of(&pod.meta.labels, REVISION).as_deref() {
            Some(revision) => is_ours(revision),
            None => explicit.is_some(),
        },
    }
}

/// There is one control plane, which is the default revision.
fn is_ours(revision: &str) -> bool {
    revision == "default"
}

/// Decides about every pod that was not decided about.
pub(super) fn reconcile(view: &View, actions: &mut Vec<Action>) {
    for (object, spec) in view.all::<PodSpec>() {
        if object.meta.annotations.contains_key(DECIDED) || object.meta.deletion_timestamp.is_some() {
            continue;
        }
        let labels = view.namespace_labels(&object.meta.namespace);
        let mut pod = Object::clone(object);
        let inject = wants_sidecar(&object.meta.namespace, &labels, object, spec);
        pod.meta.annotations.insert(DECIDED.into(), if inject { "sidecar" } else { "none" }.into());
        if inject && !spec.init_containers.iter().chain(&spec.containers).any(|c| c.name == PROXY) {
            add_sidecar(&mut pod, spec.clone());
        }
        actions.push(Action::Put(Box::new(pod)));
    }
}

fn add_sidecar(pod: &mut Object, mut spec: PodSpec) {
    let proxy = Container {
        name: PROXY.into(),
        image: PROXY_IMAGE.into(),
        restart_policy: Some(RestartPolicy::Always),
        ports: vec![ContainerPort {
            name: "http-envoy-prom".into(),
            container_port: 15090,
            ..ContainerPort::default()
        }],
        startup_probe: Some(ready_probe(1, 600)),
        readiness_probe: Some(ready_probe(15, 4)),
        ..Container::default()
    };
    spec.init_containers.insert(0, proxy);
    spec.volumes.extend(proxy_volumes());
    let workload = workload_name(pod);
    let labels = &mut pod.meta.labels;
    let first_of = |keys: &[&str]| keys.iter().find_map(|k| labels.get(*k).cloned());
    let name =
        first_of(&["service.istio.io/canonical-name", "app.kubernetes.io/name", "app"]).unwrap_or(workload);
    let revision = first_of(&["service.istio.io/canonical-revision", "app.kubernetes.io/version", "version"]);
    labels.insert("service.istio.io/canonical-name".into(), name);
    labels.insert("service.istio.io/canonical-revision".into(), revision.unwrap_or_else(|| "latest".into()));
    labels.insert("security.istio.io/tlsMode".into(), "istio".into());
    let status = json!({"initContainers": [PROXY], "containers": null,
        "volumes": [TOKEN_VOLUME, ROOT_VOLUME], "imagePullSecrets": null, "revision": "default"});
    pod.meta.annotations.insert(STATUS.into(), status.to_string());
    pod.meta.annotations.insert(REVISION.into(), "default".into());
    pod.spec = spec.into_spec();
    debug_assert!(matches!(pod.spec, Spec::Pod(_)), "a pod stays a pod");
}

/// The volumes of a proxy: its token and the roots of the mesh.
pub(crate) fn proxy_volumes() -> [Volume; 2] {
    let token = ServiceAccountTokenProjection {
        audience: "istio-ca".into(),
        expiration_seconds: Some(43_200),
        path: "istio-token".into(),
    };
    let projected = ProjectedVolume {
        sources: vec![VolumeProjection::ServiceAccountToken(token)],
        ..ProjectedVolume::default()
    };
    let roots = ConfigMapVolume { name: ROOT_CONFIG_MAP.into(), ..ConfigMapVolume::default() };
    [
        Volume { name: TOKEN_VOLUME.into(), source: Some(VolumeSource::Projected(projected)) },
        Volume { name: ROOT_VOLUME.into(), source: Some(VolumeSource::ConfigMap(roots)) },
    ]
}

pub(crate) fn ready_probe(period: i32, failures: i32) -> Probe {
    let get = HttpGetAction {
        path: "/healthz/ready".into(),
        port: Some(IntOrString::Int(15021)),
        ..HttpGetAction::default()
    };
    Probe {
        period_seconds: Some(period),
        failure_threshold: Some(failures),
        timeout_seconds: Some(3),
        handler: Some(ProbeHandler::HttpGet(get)),
        ..Probe::default()
    }
}

/// The name of the workload that a pod belongs to: the Deployment's for a pod of its ReplicaSet, else the owner's or its own.
pub fn workload_name(pod: &Object) -> String {
    let Some(owner) = pod.meta.owner_references.iter().find(|r| r.controller == Some(true)) else {
        return pod.meta.name.clone();
    };
    let hash = pod.meta.labels.get("pod-template-hash").filter(|_| owner.kind == "ReplicaSet");
    let trimmed = hash.and_then(|h| owner.name.strip_suffix(h.as_str())?.strip_suffix('-'));
    trimmed.unwrap_or(&owner.name).to_owned()
}

/// The path of the workload as the mesh names owners, such as
/// `kubernetes://apis/apps/v1/namespaces/shop/deployments/cart`.
pub fn owner_path(pod: &Object) -> String {
    let name = workload_name(pod);
    let namespace = &pod.meta.namespace;
    let owner = pod.meta.owner_references.iter().find(|r| r.controller == Some(true));
    match owner.map(|o| o.kind.as_str()) {
        None => format!("kubernetes://apis/v1/namespaces/{namespace}/pods/{name}"),
        Some("Job") => format!("kubernetes://apis/batch/v1/namespaces/{namespace}/jobs/{name}"),
        Some("ReplicaSet") if pod.meta.labels.contains_key("pod-template-hash") => {
            format!("kubernetes://apis/apps/v1/namespaces/{namespace}/deployments/{name}")
        }
        Some(kind) => {
            let plural = format!("{}s", kind.to_ascii_lowercase());
            format!("kubernetes://apis/apps/v1/namespaces/{namespace}/{plural}/{name}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(text: &str) -> Labels {
        text.split_whitespace().filter_map(|p| p.split_once('=')).map(|(k, v)| (k.into(), v.into())).collect()
    }

    #[test]
    fn the_table_of_injection() {
        for (namespace, pod, wanted) in [
            ("istio-injection=enabled", "", true),
            ("istio-injection=enabled", "sidecar.istio.io/inject=false", false),
            ("istio-injection=enabled istio.io/rev=canary", "", true),
            ("istio-injection=disabled", "sidecar.istio.io/inject=true", false),
            ("istio.io/rev=default", "", true),
            ("istio.io/rev=default", "sidecar.istio.io/inject=false", false),
            ("istio.io/rev=canary", "", false),
            ("", "istio.io/rev=default", true),
            ("", "istio.io/rev=default sidecar.istio.io/inject=false", false),
            ("", "sidecar.istio.io/inject=true", true),
            ("", "", false),
        ] {
            let mut object = Object::new("shop", "cart", PodSpec::default());
            object.meta.labels = labels(pod);
            let spec = PodSpec::default();
            assert_eq!(
                wants_sidecar("shop", &labels(namespace), &object, &spec),
                wanted,
                "{namespace} | {pod}"
            );
            assert!(!wants_sidecar("kube-system", &labels(namespace), &object, &spec));
            let host = PodSpec { host_network: Some(true), ..PodSpec::default() };
            assert!(!wants_sidecar("shop", &labels(namespace), &object, &host));
            // The old annotation counts where there is no label.
            let mut old = Object::new("shop", "cart", PodSpec::default());
            old.meta.annotations = labels(pod);
            if pod.starts_with("sidecar") {
                assert_eq!(wants_sidecar("shop", &labels(namespace), &old, &spec), wanted);
            }
        }
    }
}
