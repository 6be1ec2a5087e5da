//! Services, their endpoints, and ingresses.

use serde_json::{Value, json};

use super::read::{NONE, join, labels, list, number, since_creation, some, text, text_or_none};
use super::{AGE, View, text as column, wide};

pub(super) const SERVICE: View = View {
    columns: &[
        column("Type", "How the service is reachable."),
        column("Cluster-IP", "Its address inside."),
        column("External-IP", "Its addresses outside."),
        column("Port(s)", "Its ports."),
        AGE,
        wide("Selector", "Labels of its pods."),
    ],
    cells: service,
};

fn service(service: &Value, now: i64) -> Vec<Value> {
    let ports = list(service, "/spec/ports").iter().map(|port| {
        let protocol = Some(text(port, "/protocol")).filter(|p| !p.is_empty()).unwrap_or("TCP");
        match number(port, "/nodePort") {
            0 => format!("{}/{protocol}", number(port, "/port")),
            node => format!("{}:{node}/{protocol}", number(port, "/port")),
        }
    });
    let kind = Some(text(service, "/spec/type")).filter(|t| !t.is_empty()).unwrap_or("ClusterIP");
    vec![
        json!(kind),
        text_or_none(service, "/spec/clusterIP"),
        external(service, kind),
        join(ports, false),
        since_creation(service, now),
        labels(service, "/spec/selector"),
    ]
}

fn external(service: &Value, kind: &str) -> Value {
    if kind == "ExternalName" {
        return text_or_none(service, "/spec/externalName");
    }
    let mut addresses: Vec<&str> = Vec::new();
    if kind == "LoadBalancer" {
        let balancers = list(service, "/status/loadBalancer/ingress");
        addresses.extend(balancers.iter().flat_map(|i| [text(i, "/ip"), text(i, "/hostname")]));
    }
    addresses.extend(list(service, "/spec/externalIPs").iter().filter_map(Value::as_str));
    addresses.retain(|a| !a.is_empty());
    match (addresses.is_empty(), kind) {
        (true, "LoadBalancer") => json!("<pending>"),
        _ => join(addresses, false),
    }
}

pub(super) const ENDPOINT_SLICE: View = View {
    columns: &[
        column("AddressType", "Kind of the addresses."),
        column("Ports", "Ports of the endpoints."),
        column("Endpoints", "Addresses of the endpoints."),
        AGE,
    ],
    cells: endpoint_slice,
};

fn endpoint_slice(slice: &Value, now: i64) -> Vec<Value> {
    let ports = list(slice, "/ports").iter().map(|p| match p["port"].as_i64() {
        Some(port) => port.to_string(),
        None => "*".to_owned(),
    });
    let addresses = list(slice, "/endpoints").iter().flat_map(|e| list(e, "/addresses"));
    let unset = |cell: Value| if cell == NONE { json!("<unset>") } else { cell };
    vec![
        json!(text(slice, "/addressType")),
        unset(join(ports, true)),
        unset(join(addresses.filter_map(Value::as_str), true)),
        since_creation(slice, now),
    ]
}

pub(super) const ENDPOINTS: View =
    View { columns: &[column("Endpoints", "Addresses and ports of the endpoints."), AGE], cells: endpoints };

fn endpoints(endpoints: &Value, now: i64) -> Vec<Value> {
    let mut all = Vec::new();
    for subset in list(endpoints, "/subsets") {
        for address in list(subset, "/addresses") {
            let ip = text(address, "/ip");
            let ports = list(subset, "/ports");
            all.extend(ports.iter().map(|port| format!("{ip}:{}", number(port, "/port"))));
            if ports.is_empty() {
                all.push(ip.to_owned());
            }
        }
    }
    vec![join(all, true), since_creation(endpoints, now)]
}

pub(super) const INGRESS: View = View {
    columns: &[
        column("Class", "Who serves it."),
        column("Hosts", "Hosts of its rules."),
        column("Address", "Where it is reachable."),
        column("Ports", "Its ports."),
        AGE,
    ],
    cells: ingress,
};

fn ingress(ingress: &Value, now: i64) -> Vec<Value> {
    let hosts: Vec<&str> =
        list(ingress, "/spec/rules").iter().map(|r| text(r, "/host")).filter(|h| !h.is_empty()).collect();
    let hosts = if hosts.is_empty() { json!("*") } else { join(hosts, true) };
    let addresses = list(ingress, "/status/loadBalancer/ingress");
    let addresses: Vec<&str> = addresses
        .iter()
        .flat_map(|i| [text(i, "/ip"), text(i, "/hostname")])
        .filter(|a| !a.is_empty())
        .collect();
    let secure = !list(ingress, "/spec/tls").is_empty();
    vec![
        text_or_none(ingress, "/spec/ingressClassName"),
        hosts,
        json!(addresses.join(",")),
        json!(if secure { "80, 443" } else { "80" }),
        since_creation(ingress, now),
    ]
}

pub(super) const INGRESS_CLASS: View = View {
    columns: &[
        column("Controller", "The controller of the class."),
        column("Parameters", "Its parameters."),
        AGE,
    ],
    cells: ingress_class,
};

fn ingress_class(class: &Value, now: i64) -> Vec<Value> {
    let parameters = match (text(class, "/spec/parameters/kind"), text(class, "/spec/parameters/name")) {
        (_, "") => NONE.to_owned(),
        (kind, name) => format!("{kind}/{name}"),
    };
    vec![json!(some(text(class, "/spec/controller"))), json!(parameters), since_creation(class, now)]
}
