//! What kubectl shows for objects of each kind.

use serde_json::{Value, json};
use tulle_api::Kind;

use super::{cells, columns};

const NOW: i64 = 1_785_578_400 + 300;

/// The cells by column, as text.
fn row(kind: Kind, mut object: Value) -> String {
    object["metadata"]["name"] = json!("x");
    object["metadata"]["creationTimestamp"] = json!("2026-08-01T10:00:00Z");
    let (columns, cells) = (columns(kind.info()), cells(kind.info(), &object, NOW));
    assert_eq!(columns.len(), cells.len(), "{kind:?}");
    let pairs = columns.iter().zip(&cells).skip(1);
    pairs
        .map(|(c, cell)| {
            assert_eq!(c.column_type == "integer", cell.is_number(), "{kind:?} {}", c.name);
            let cell = cell.as_str().map_or_else(|| cell.to_string(), str::to_owned);
            format!("{}={cell}", c.name)
        })
        .collect::<Vec<_>>()
        .join(" ")
}

#[test]
fn every_kind_has_as_many_cells_as_columns() {
    for kind in Kind::ALL.iter() {
        let (columns, cells) = (columns(kind.info()), cells(kind.info(), &json!({}), NOW));
        assert_eq!(columns.len(), cells.len(), "{kind:?}");
        assert_eq!((columns[0].name, columns[0].format), ("Name", "name"));
        assert!(columns.iter().any(|c| matches!(c.name, "Age" | "Last Seen")), "{kind:?}");
    }
}

#[test]
fn pods() {
    let status = |ready: bool, state: Value| {
        json!({"name": "c", "ready": ready, "restartCount": 2, "state": state,
            "lastState": {"terminated": {"finishedAt": "2026-08-01T10:04:00Z"}}})
    };
    let pod = |phase: &str, containers: Value| {
        json!({"spec": {"containers": [{"name": "c"}]}, "status": {"phase": phase, "podIP": "10.0.0.1",
            "containerStatuses": containers}})
    };
    assert_eq!(
        row(Kind::Pod, pod("Running", json!([status(true, json!({"running": {}}))]))),
        "Ready=1/1 Status=Running Restarts=2 (60s ago) Age=5m IP=10.0.0.1 Node=<none> Nominated Node=<none> \
         Readiness Gates=<none>"
    );
    let shows = |object: Value, text: &str| {
        let row = row(Kind::Pod, object);
        assert!(row.starts_with(text), "{row}");
    };
    let crashing = json!([status(false, json!({"waiting": {"reason": "CrashLoopBackOff"}}))]);
    shows(pod("Running", crashing), "Ready=0/1 Status=CrashLoopBackOff");
    let failed = json!([status(false, json!({"terminated": {"exitCode": 3}}))]);
    shows(pod("Failed", failed), "Ready=0/1 Status=ExitCode:3");
    shows(pod("Pending", json!([])), "Ready=0/1 Status=Pending Restarts=0 Age");
    shows(json!({"status": {"phase": "Failed", "reason": "Evicted"}}), "Ready=0/0 Status=Evicted");
    let mut initializing = pod("Pending", json!([]));
    initializing["spec"]["initContainers"] = json!([{"name": "i"}, {"name": "s", "restartPolicy": "Always"}]);
    initializing["status"]["initContainerStatuses"] = json!([{"name": "i", "state": {"running": {}}}]);
    shows(initializing.clone(), "Ready=0/2 Status=Init:0/2");
    initializing["status"]["initContainerStatuses"] = json!([
        {"name": "i", "state": {"terminated": {"exitCode": 0}}},
        {"name": "s", "started": true, "ready": true, "state": {"running": {}}}]);
    shows(initializing.clone(), "Ready=1/2 Status=Pending");
    initializing["metadata"]["deletionTimestamp"] = json!("2026-08-01T10:00:00Z");
    shows(initializing, "Ready=1/2 Status=Terminating");
}

#[test]
fn services_and_endpoints() {
    let ports = json!([{"port": 80}, {"port": 53, "protocol": "UDP", "nodePort": 30053}]);
    let service = json!({"spec": {"type": "LoadBalancer", "clusterIP": "10.96.0.1", "ports": ports, "selector": {"a": "b"}}});
    assert_eq!(
        row(Kind::Service, service),
        "Type=LoadBalancer Cluster-IP=10.96.0.1 External-IP=<pending> Port(s)=80/TCP,53:30053/UDP Age=5m Selector=a=b"
    );
    let external = json!({"spec": {"type": "ExternalName", "externalName": "a.example"}});
    assert_eq!(
        row(Kind::Service, external),
        "Type=ExternalName Cluster-IP=<none> External-IP=a.example Port(s)=<none> Age=5m Selector=<none>"
    );
    let endpoints: Vec<Value> = (1..6).map(|i| json!({"addresses": [format!("10.0.0.{i}")]})).collect();
    let slice = json!({"addressType": "IPv4", "endpoints": endpoints, "ports": [{"port": 80}]});
    assert_eq!(
        row(Kind::EndpointSlice, slice),
        "AddressType=IPv4 Ports=80 Endpoints=10.0.0.1,10.0.0.2,10.0.0.3 + 2 more... Age=5m"
    );
}

#[test]
fn workloads() {
    let template =
        json!({"spec": {"containers": [{"name": "a", "image": "x:1"}, {"name": "b", "image": "y:2"}]}});
    let object = json!({
        "spec": {"replicas": 3, "template": template,
            "selector": {"matchLabels": {"app": "a"}, "matchExpressions": [{"key": "k", "operator": "In", "values": ["v"]}]}},
        "status": {"replicas": 3, "readyReplicas": 2, "updatedReplicas": 1, "availableReplicas": 2},
    });
    let wide = "Containers=a,b Images=x:1,y:2";
    assert_eq!(
        row(Kind::Deployment, object.clone()),
        format!("Ready=2/3 Up-to-date=1 Available=2 Age=5m {wide} Selector=app=a,k in (v)")
    );
    assert_eq!(
        row(Kind::ReplicaSet, object.clone()),
        format!("Desired=3 Current=3 Ready=2 Age=5m {wide} Selector=app=a,k in (v)")
    );
    assert_eq!(row(Kind::StatefulSet, object), format!("Ready=2/3 Age=5m {wide}"));
    let job = json!({"spec": {"completions": 2}, "status": {"succeeded": 2, "startTime": "2026-08-01T10:00:00Z",
        "completionTime": "2026-08-01T10:00:30Z", "conditions": [{"type": "Complete", "status": "True"}]}});
    assert!(row(Kind::Job, job).starts_with("Status=Complete Completions=2/2 Duration=30s Age=5m"));
}

#[test]
fn configuration() {
    assert_eq!(
        row(Kind::ConfigMap, json!({"data": {"a": "1"}, "binaryData": {"b": "AA=="}})),
        "Data=2 Age=5m"
    );
    assert_eq!(row(Kind::Secret, json!({"data": {"a": ""}})), "Type=Opaque Data=1 Age=5m");
    assert_eq!(row(Kind::Namespace, json!({})), "Status=Active Age=5m");
}

#[test]
fn kinds_of_the_mesh() {
    let service = json!({"spec": {"hosts": ["a", "b"], "gateways": ["gw"]},
        "status": {"conditions": [{"type": "Accepted", "status": "True"}]}});
    assert_eq!(
        row(Kind::VirtualService, service),
        "Gateways=[\"gw\"] Hosts=[\"a\",\"b\"] Age=5m Accepted=True Programmed=null"
    );
    assert_eq!(
        row(Kind::PeerAuthentication, json!({"spec": {"mtls": {"mode": "STRICT"}}})),
        "Mode=STRICT Age=5m Accepted=null Programmed=null"
    );
}
