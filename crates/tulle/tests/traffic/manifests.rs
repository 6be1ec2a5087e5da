//! Manifests that several behaviours share.

/// A mission document's YAML, unchanged.
pub fn mission(name: &str) -> String {
    let path = format!("{}/../tulle-api/tests/mission/{name}.yaml", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{path}: {e}"))
}

/// Namespace `default` with injection on.
pub fn injected_default() -> String {
    namespace("default", true)
}

/// A namespace, with or without injection.
pub fn namespace(name: &str, injected: bool) -> String {
    let state = if injected { "enabled" } else { "disabled" };
    format!(
        "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: {name}\n  labels:\n    istio-injection: {state}\n"
    )
}

/// A Service `name` on port 9080 for pods labelled `app: name`; `port_name` decides the protocol, empty lets it be sniffed.
pub fn service(name: &str, port_name: &str) -> String {
    let line = if port_name.is_empty() { String::new() } else { format!("\n    name: {port_name}") };
    format!(
        "apiVersion: v1\nkind: Service\nmetadata:\n  name: {name}\nspec:\n  selector:\n    app: {name}\n  \
         ports:\n  - port: 9080\n    targetPort: 8080{line}\n"
    )
}

/// A Deployment of the echo program labelled `app: APP, version: VERSION`, named and answering as `APP-VERSION`.
pub fn echo(app: &str, version: &str) -> String {
    format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: {app}-{version}\nspec:\n  replicas: 1\n  \
         selector:\n    matchLabels: {{app: {app}, version: {version}}}\n  template:\n    metadata:\n      \
         labels: {{app: {app}, version: {version}}}\n    spec:\n      containers:\n      - name: echo\n        \
         image: tulle/echo:1\n        env:\n        - {{name: ECHO_NAME, value: {app}-{version}}}\n        \
         ports:\n        - containerPort: 8080\n        - containerPort: 9000\n        readinessProbe:\n          \
         tcpSocket: {{port: 8080}}\n          periodSeconds: 1\n"
    )
}

/// A Deployment that does nothing but wait to be entered, with a service account of its own.
pub fn client(name: &str, account: &str, extra_annotations: &str) -> String {
    format!(
        "apiVersion: v1\nkind: ServiceAccount\nmetadata:\n  name: {account}\n---\n\
         apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: {name}\nspec:\n  replicas: 1\n  selector:\n    \
         matchLabels: {{app: {name}}}\n  template:\n    metadata:\n      labels: {{app: {name}}}\n      \
         annotations: {{{extra_annotations}}}\n    spec:\n      serviceAccountName: {account}\n      \
         terminationGracePeriodSeconds: 1\n      containers:\n      - name: curl\n        image: curlimages/curl:8\n"
    )
}

/// A DestinationRule that names subsets by their `version` label.
pub fn subsets(host: &str, versions: &[(&str, &str)]) -> String {
    let mut yaml = format!(
        "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata:\n  name: {host}\nspec:\n  host: {host}\n  subsets:\n"
    );
    for (subset, version) in versions {
        yaml += &format!("  - name: {subset}\n    labels: {{version: {version}}}\n");
    }
    yaml
}

/// A VirtualService that splits `host` over subsets v1 and v2.
pub fn split(host: &str, v1: u32, v2: u32) -> String {
    format!(
        "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata:\n  name: {host}\nspec:\n  hosts: [{host}]\n  \
         http:\n  - route:\n    - destination: {{host: {host}, subset: v1}}\n      weight: {v1}\n    \
         - destination: {{host: {host}, subset: v2}}\n      weight: {v2}\n"
    )
}

/// Several documents as one file.
pub fn documents(parts: &[String]) -> String {
    parts.join("---\n")
}

/// Pods of httpbin behind a Service of the same name.
pub fn bin(name: &str, replicas: u32, port: u16) -> String {
    let deployment = format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: {name}\nspec:\n  replicas: {replicas}\n  selector:\n    \
         matchLabels: {{app: {name}}}\n  template:\n    metadata:\n      labels: {{app: {name}}}\n    spec:\n      containers:\n      \
         - name: bin\n        image: mccutchen/go-httpbin:2\n        ports:\n        - containerPort: 8080\n        \
         readinessProbe:\n          tcpSocket: {{port: 8080}}\n          periodSeconds: 1\n"
    );
    documents(&[deployment, service(name, "http").replace("port: 9080", &format!("port: {port}"))])
}

/// Every resource of `yaml` that names no namespace, in `name`.
pub fn within(name: &str, yaml: &str) -> String {
    yaml.replace("metadata:\n  name:", &format!("metadata:\n  namespace: {name}\n  name:"))
}

/// Whether `seen` of `n` is within four standard deviations of `part`.
pub fn near(seen: u64, n: u64, part: f64) -> bool {
    let (n, seen) = (n as f64, seen as f64);
    (seen - n * part).abs() <= 4.0 * (n * part * (1.0 - part)).sqrt()
}
