//! Filter chains: what they take, and where they lead.

use serde_json::Value;

use super::dump::{list, text};
use super::routes;

pub(super) const HTTP: &str = "envoy.filters.network.http_connection_manager";
pub(super) const TCP: &str = "envoy.filters.network.tcp_proxy";

/// Lists of application protocols that have a name.
const PROTOCOLS: [(&str, &[&str]); 4] = [
    ("App: HTTP TLS", &["http/1.0", "http/1.1", "h2c", "istio-http/1.0", "istio-http/1.1", "istio-h2"]),
    ("App: Istio HTTP Plain", &["istio", "istio-http/1.0", "istio-http/1.1", "istio-h2"]),
    ("App: TCP TLS", &["istio-peer-exchange", "istio"]),
    ("App: HTTP", &["http/1.0", "http/1.1", "h2c"]),
];

/// Which connections a chain takes.
pub(super) fn matches(matches: &Value) -> String {
    let texts = |name: &str| list(&matches[name]).iter().map(text).collect::<Vec<_>>();
    let mut out = Vec::new();
    let names = texts("server_names");
    if !names.is_empty() {
        out.push(format!("SNI: {}", names.join(",")));
    }
    let transport = text(&matches["transport_protocol"]);
    if !transport.is_empty() {
        out.push(format!("Trans: {transport}"));
    }
    let protocols = texts("application_protocols");
    if !protocols.is_empty() {
        let known = PROTOCOLS.iter().find(|(_, list)| **list == protocols[..]);
        out.push(
            known.map_or_else(|| format!("App: {}", protocols.join(",")), |(name, _)| (*name).to_owned()),
        );
    }
    let port = matches["destination_port"].as_u64().map(|p| format!(":{p}")).unwrap_or_default();
    let range = |r: &Value| {
        let length = r["prefix_len"].as_u64().unwrap_or_default();
        format!("{}/{length}", text(&r["address_prefix"]))
    };
    let ranges: Vec<String> = list(&matches["prefix_ranges"]).iter().map(range).collect();
    if !ranges.is_empty() {
        out.push(format!("Addr: {}{port}", ranges.join(",")));
    } else if !port.is_empty() {
        out.push(format!("Addr: *{port}"));
    }
    if out.is_empty() { "ALL".to_owned() } else { out.join("; ") }
}

/// Where the connections of a chain go.
pub(super) fn destination(filters: &Value) -> String {
    for filter in list(filters) {
        let config = &filter["typed_config"];
        match text(&filter["name"]) {
            HTTP if config["route_config"].is_object() => return inline(&config["route_config"]),
            HTTP => {
                let name = text(&config["rds"]["route_config_name"]);
                return if name.is_empty() { "HTTP".to_owned() } else { format!("Route: {name}") };
            }
            TCP if !is_black_hole(filter) => return tcp(config),
            _ => {}
        }
    }
    "Non-HTTP/Non-TCP".to_owned()
}

pub(super) fn is_black_hole(filter: &Value) -> bool {
    text(&filter["typed_config"]["cluster"]) == "BlackHoleCluster"
}

fn tcp(config: &Value) -> String {
    let split = list(&config["weighted_clusters"]["clusters"]);
    if split.is_empty() {
        return cluster(text(&config["cluster"]));
    }
    let one = |c: &Value| format!("{} ({})", text(&c["name"]), c["weight"].as_u64().unwrap_or_default());
    format!("Clusters: {}", split.iter().map(one).collect::<Vec<_>>().join(", "))
}

fn cluster(name: &str) -> String {
    if name.contains("Cluster") { name.to_owned() } else { format!("Cluster: {name}") }
}

/// Routes that stand in the listener itself: their cluster, if it is the only one.
fn inline(table: &Value) -> String {
    let hosts = list(&table["virtual_hosts"]);
    if let [host] = hosts
        && let ([domain], [route]) = (list(&host["domains"]), list(&host["routes"]))
        && text(domain) == "*"
        && text(&route["match"]["prefix"]) == "/"
        && let Some(name) = route["route"]["cluster"].as_str()
    {
        return cluster(name);
    }
    let host = |host: &Value| {
        let domains: Vec<&str> = list(&host["domains"]).iter().map(text).collect();
        let paths = list(&host["routes"]).iter().map(|r| routes::path(&r["match"]));
        let paths = paths.collect::<Vec<_>>().join(", ");
        if domains[..] == ["*"] { paths } else { format!("{} {paths}", domains.join("/")) }
    };
    format!("Inline Route: {}", hosts.iter().map(host).collect::<Vec<_>>().join("; "))
}
