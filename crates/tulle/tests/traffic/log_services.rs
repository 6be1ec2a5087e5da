//! Access logs that go to services: to a collector of OpenTelemetry and to Envoy's access log service, both of which are this test's own
//! binary in a pod. A Telemetry's filter holds for requests and for connections.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use tulle_proto::Message as _;
use tulle_proto::envoy::access_log_data::AccessLogCommon;
use tulle_proto::envoy::access_log_service::{
    StreamAccessLogsMessage, stream_access_logs_message::LogEntries,
};
use tulle_proto::otlp::{ExportLogsServiceRequest, text_of};

use crate::harness::{Mesh, Spec};
use crate::manifests::{client, documents, echo, injected_default, service};
use crate::taker;

/// Where the service writes what it gets; also what makes this test the service.
const FILE: &str = "TULLE_TEST_LOG_SERVICE";
const SOON: Duration = Duration::from_secs(60);

/// Takes access logs in both forms over gRPC and writes one JSON object for each entry.
#[test]
#[ignore = "runs in a pod of the other test"]
fn the_service() {
    let Ok(file) = std::env::var(FILE) else { return };
    taker::serve(&file, |path, message| {
        if path.ends_with("/StreamAccessLogs") { entries(message) } else { records(message) }
    });
}

fn entries(message: &[u8]) -> Vec<Value> {
    let message = StreamAccessLogsMessage::from_wire(message).unwrap_or_default();
    let who = message.identifier.unwrap_or_default();
    let node = who.node.unwrap_or_default();
    let line = |common: Option<AccessLogCommon>, more: Value| {
        let common = common.unwrap_or_default();
        let san = format!("{:?}", common.tls_properties.and_then(|t| t.peer_certificate_properties));
        json!({ "log": who.log_name, "node": node.id, "cluster": common.upstream_cluster, "peer": san, "of": more })
    };
    match message.log_entries {
        Some(LogEntries::HttpLogs(list)) => list.log_entry.into_iter().map(|entry| {
            let (request, response) = (entry.request.unwrap_or_default(), entry.response.unwrap_or_default());
            let status = response.response_code.map(|code| code.value);
            line(entry.common_properties, json!({ "path": request.path, "status": status, "tenant": request.request_headers.get("x-tenant") }))
        }).collect(),
        Some(LogEntries::TcpLogs(list)) => list.log_entry.into_iter().map(|entry| {
            let bytes = entry.connection_properties.unwrap_or_default();
            line(entry.common_properties, json!({ "received": bytes.received_bytes, "sent": bytes.sent_bytes }))
        }).collect(),
        None => Vec::new(),
    }
}

fn records(message: &[u8]) -> Vec<Value> {
    let message = ExportLogsServiceRequest::from_wire(message).unwrap_or_default();
    let scopes = message.resource_logs.into_iter().flat_map(|of| of.scope_logs);
    scopes
        .flat_map(|scope| scope.log_records)
        .map(|record| {
            let of: serde_json::Map<String, Value> = record
                .attributes
                .iter()
                .map(|kv| (kv.key.clone(), text_of(kv.value.as_ref()).into()))
                .collect();
            json!({ "log": "otel", "body": text_of(record.body.as_ref()), "of": of })
        })
        .collect()
}

fn manifests(binary: &Path, file: &Path) -> String {
    let (binary, file) = (binary.display(), file.display());
    let taker = format!(
        "apiVersion: v1\nkind: Namespace\nmetadata: {{name: observability}}\n---\n\
         apiVersion: v1\nkind: Service\nmetadata: {{name: logs, namespace: observability}}\n\
         spec: {{selector: {{app: logs}}, ports: [{{name: grpc, port: 4317}}]}}\n---\n\
         apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: logs, namespace: observability}}\n\
         spec:\n  replicas: 1\n  selector: {{matchLabels: {{app: logs}}}}\n  template:\n    \
         metadata: {{labels: {{app: logs}}}}\n    spec:\n      containers:\n      - name: logs\n        \
         image: test/logs\n        command: [{binary}, --exact, 'log_services::the_service', --ignored, --nocapture]\n        \
         env: [{{name: {FILE}, value: {file}}}]\n        readinessProbe: {{tcpSocket: {{port: 4317}}, periodSeconds: 1}}\n"
    );
    let settings = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: istio, namespace: istio-system}\ndata:\n  mesh: |\n    \
         extensionProviders:\n    \
         - name: otel\n      envoyOtelAls: {service: logs.observability.svc.cluster.local, port: 4317, logFormat: {text: '%REQ(:METHOD)% %RESPONSE_CODE%', labels: {path: '%REQ(:PATH)%', cluster: '%UPSTREAM_CLUSTER_RAW%', received: '%BYTES_RECEIVED%'}}}\n    \
         - name: als\n      envoyHttpAls: {service: logs.observability.svc.cluster.local, port: 4317, logName: requests, additionalRequestHeadersToLog: [x-tenant]}\n    \
         - name: connections\n      envoyTcpAls: {service: logs.observability.svc.cluster.local, port: 4317, logName: connections}\n"
        .to_owned();
    // What goes out: requests whose path has `logged`, and connections to one port. What comes in: what went well.
    let telemetry = "apiVersion: telemetry.istio.io/v1\nkind: Telemetry\nmetadata: {name: all, namespace: istio-system}\nspec:\n  \
         accessLogging:\n  - match: {mode: CLIENT}\n    providers: [{name: otel}, {name: als}]\n    filter: {expression: \"request.path.contains('logged')\"}\n  \
         - match: {mode: CLIENT}\n    providers: [{name: connections}]\n    filter: {expression: destination.port == 9090}\n  \
         - match: {mode: SERVER}\n    providers: [{name: als}]\n    filter: {expression: response.code == 200}\n"
        .to_owned();
    let raw = "apiVersion: v1\nkind: Service\nmetadata: {name: raw}\nspec: {selector: {app: other}, ports: [{name: tcp, port: 9090, targetPort: 8080}]}\n".to_owned();
    documents(&[
        settings,
        taker,
        telemetry,
        injected_default(),
        service("web", "http"),
        raw,
        echo("web", "v1"),
        echo("other", "v1"),
        client("caller", "caller", ""),
    ])
}

#[test]
fn requests_and_connections_are_told_to_services_as_a_telemetry_says() {
    let dir = tempfile::Builder::new().prefix("tullog").tempdir_in("/tmp").unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let (binary, file) = (dir.path().join("service"), dir.path().join("entries.jsonl"));
    fs::copy(std::env::current_exe().unwrap(), &binary).unwrap();
    fs::set_permissions(&binary, fs::Permissions::from_mode(0o755)).unwrap();
    let yaml = manifests(&binary, &file);
    let mesh = Mesh::start(&Spec { manifests: &[("logs.yaml", yaml)], ..Spec::default() });
    let got = || -> Vec<Value> {
        let text = fs::read_to_string(&file).unwrap_or_default();
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    };
    let call = |url: &str| assert_eq!(mesh.get_from("caller", url, &["x-tenant: t1"]).0, 200, "{url}");
    call("http://web:9080/quiet");
    call("http://web:9080/logged");
    call("http://raw:9090/carried");

    let cluster = "outbound|9080||web.default.svc.cluster.local";
    let record = |e: &Value| {
        e["log"] == "otel"
            && e["body"] == "GET 200"
            && e["of"]["path"] == "/logged"
            && e["of"]["cluster"] == cluster
    };
    let sent = |e: &Value| e["log"] == "requests" && e["cluster"] == cluster && e["of"]["path"] == "/logged";
    let served = |e: &Value, path: &str| {
        e["log"] == "requests"
            && e["of"] == json!({ "path": path, "status": 200, "tenant": "t1" })
            && e["peer"].to_string().contains("spiffe://cluster.local/ns/default/sa/caller")
            && e["node"].to_string().contains("sidecar~")
    };
    let carried = |e: &Value| {
        e["log"] == "connections"
            && e["cluster"].to_string().contains("outbound|9090||raw.default")
            && e["of"]["received"].as_u64() > Some(0)
    };
    let mut missing = String::new();
    mesh.eventually("all that is wanted is told", SOON, || {
        let all = got();
        let there = [
            ("the record", all.iter().any(record)),
            ("the client's entry", all.iter().any(sent)),
            (
                "the servers' entries",
                ["/quiet", "/logged"].iter().all(|path| all.iter().any(|e| served(e, path))),
            ),
            ("the connection", all.iter().any(carried)),
        ];
        let not =
            format!("{:?}", there.iter().filter(|(_, is)| !is).map(|(what, _)| what).collect::<Vec<_>>());
        if not != missing {
            eprintln!("missing {not} of {all:#?}");
            missing = not;
        }
        there.iter().all(|(_, is)| *is)
    });
    let all = got();
    let unwanted = |e: &Value| {
        let quiet = e["of"]["path"] == "/quiet";
        (e["log"] == "otel" && e["of"]["path"] != "/logged")
            || (quiet && e["cluster"] == cluster)
            || (e["log"] == "connections" && !carried(e))
    };
    assert!(!all.iter().any(unwanted), "{all:#?}");
}
