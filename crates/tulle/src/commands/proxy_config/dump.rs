//! The parts of `/config_dump`.

use serde_json::Value;

/// The path of the dump, endpoints included.
pub(crate) const PATH: &str = "/config_dump?include_eds";

/// The part of a dump whose type ends so, such as `ClustersConfigDump`.
pub(crate) fn part<'v>(dump: &'v Value, kind: &str) -> Option<&'v Value> {
    let ends = |config: &&Value| config["@type"].as_str().is_some_and(|t| t.rsplit('.').next() == Some(kind));
    list(&dump["configs"]).iter().find(ends)
}

/// The items of a list; none where there is no list.
pub(crate) fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// The text; empty where there is none.
pub(crate) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// The clusters in force.
pub(crate) fn clusters(dump: &Value) -> Vec<&Value> {
    let part = part(dump, "ClustersConfigDump").unwrap_or(&Value::Null);
    let dynamic = list(&part["dynamic_active_clusters"]).iter().chain(list(&part["static_clusters"]));
    dynamic.map(|entry| &entry["cluster"]).filter(|c| c.is_object()).collect()
}

/// The listeners in force.
pub(crate) fn listeners(dump: &Value) -> Vec<&Value> {
    let part = part(dump, "ListenersConfigDump").unwrap_or(&Value::Null);
    let dynamic = list(&part["dynamic_listeners"]).iter().map(|entry| &entry["active_state"]["listener"]);
    let statics = list(&part["static_listeners"]).iter().map(|entry| &entry["listener"]);
    dynamic.chain(statics).filter(|l| l.is_object()).collect()
}

/// The route tables in force.
pub(crate) fn routes(dump: &Value) -> Vec<&Value> {
    let part = part(dump, "RoutesConfigDump").unwrap_or(&Value::Null);
    let all = list(&part["dynamic_route_configs"]).iter().chain(list(&part["static_route_configs"]));
    all.map(|entry| &entry["route_config"]).filter(|r| r.is_object()).collect()
}

/// Which resource made something what it is, as `NAME.NAMESPACE`; empty where nobody says, and where it is as its host is by itself.
pub(crate) fn made_by(message: &Value) -> String {
    let path = text(&message["metadata"]["filter_metadata"]["istio"]["config"]);
    let parts: Vec<&str> = path.split('/').collect();
    match parts[..] {
        ["", "apis", _, _, "namespaces", _, "service" | "service-entry", _] => String::new(),
        ["", "apis", _, _, "namespaces", namespace, _, name] => format!("{name}.{namespace}"),
        _ if path.is_empty() => String::new(),
        _ => "<unknown>".to_owned(),
    }
}

/// What the name of a cluster says.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ClusterName {
    /// The host, or the whole name where it is no `DIRECTION|PORT|SUBSET|HOST`.
    pub(crate) fqdn: String,
    pub(crate) subset: String,
    pub(crate) port: Option<u32>,
    pub(crate) direction: String,
}

impl ClusterName {
    pub(crate) fn parse(name: &str) -> Self {
        match name.split('|').collect::<Vec<_>>()[..] {
            [direction, port, subset, fqdn] => Self {
                fqdn: fqdn.to_owned(),
                subset: subset.to_owned(),
                port: port.parse().ok(),
                direction: direction.to_owned(),
            },
            _ => Self { fqdn: name.to_owned(), ..Self::default() },
        }
    }
}

/// The text, or what stands for none.
pub(crate) fn or_dash(text: impl Into<String>) -> String {
    Some(text.into()).filter(|text| !text.is_empty()).unwrap_or_else(|| "-".to_owned())
}
