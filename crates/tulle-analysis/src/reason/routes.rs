//! Walks over the routes of VirtualServices, with what a route inherits from its resource.

use std::borrow::Cow;
use std::time::Duration;

use tulle_api::Object;
use tulle_api::istio::{
    Destination, HttpMatchRequest, HttpRetry, HttpRoute, HttpRouteDestination, VirtualService,
};
use tulle_api::schema::Field;
use tulle_base::FieldPath;
use tulle_mesh::NsName;

use crate::whole::Whole;

/// One http route and where it stands.
#[derive(Clone, Copy, Debug)]
pub struct RouteAt<'a> {
    /// The resource.
    pub object: &'a Object,
    /// Its content.
    pub spec: &'a VirtualService,
    /// Index of the route.
    pub index: usize,
    /// The route.
    pub route: &'a HttpRoute,
}

impl<'a> RouteAt<'a> {
    /// The path of a field of the route; of the route itself for an empty one.
    pub fn path(&self, field: &str) -> FieldPath {
        let dot = if field.is_empty() { "" } else { "." };
        FieldPath::from(format!("spec.http[{}]{dot}{field}", self.index).as_str())
    }

    /// The timeout in force, as written here or above; zero means none and is left out.
    pub fn timeout(&self) -> Option<Duration> {
        let written = self.route.timeout.as_ref().or(self.spec.timeout.as_ref());
        written.map(|t| t.get()).filter(|t| !t.is_zero())
    }

    /// The retries written here or, failing that, at the top, with the path of the block.
    pub fn retries(&self) -> Option<(&'a HttpRetry, FieldPath)> {
        match (&self.route.retries, &self.spec.retries) {
            (Some(own), _) => Some((own, self.path("retries"))),
            (None, Some(above)) => Some((above, FieldPath::from("spec.retries"))),
            (None, None) => None,
        }
    }

    /// The destinations that get something: those with a weight, or the only one.
    pub fn live_destinations(&self) -> impl Iterator<Item = (usize, &'a HttpRouteDestination)> {
        let sole = self.route.route.len() == 1;
        let all = self.route.route.iter().enumerate();
        all.filter(move |(_, d)| sole || d.weight.unwrap_or(0) > 0)
    }

    /// The mirrors, with the paths of their destinations and their shares in percent.
    pub fn mirrors(&self) -> Vec<(&'a Destination, FieldPath, f64)> {
        let share = |p: Option<f64>| p.unwrap_or(100.0);
        let mut out = Vec::new();
        if let Some(mirror) = &self.route.mirror {
            let percentage = self.route.mirror_percentage.as_ref().map(|p| p.value.unwrap_or(0.0));
            let percent = self.route.mirror_percent.map(f64::from);
            out.push((mirror, self.path("mirror"), share(percentage.or(percent))));
        }
        for (i, mirror) in self.route.mirrors.iter().enumerate() {
            let path = self.path(&format!("mirrors[{i}].destination"));
            out.push((
                &mirror.destination,
                path,
                share(mirror.percentage.as_ref().map(|p| p.value.unwrap_or(0.0))),
            ));
        }
        out
    }
}

/// Every http route of every VirtualService.
pub fn http_routes<'a>(whole: &Whole<'a>) -> impl Iterator<Item = RouteAt<'a>> {
    whole.all::<VirtualService>().flat_map(|(object, spec)| routes_of(object, spec))
}

/// The http routes of one VirtualService.
pub fn routes_of<'a>(object: &'a Object, spec: &'a VirtualService) -> impl Iterator<Item = RouteAt<'a>> {
    spec.http.iter().enumerate().map(move |(index, route)| RouteAt { object, spec, index, route })
}

/// The gateways that a VirtualService is bound to: `mesh` when it names none.
pub fn gateways(spec: &VirtualService) -> Cow<'_, [String]> {
    if spec.gateways.is_empty() { Cow::Owned(vec!["mesh".to_owned()]) } else { Cow::Borrowed(&spec.gateways) }
}

/// Whether a VirtualService is for the sidecars.
pub fn for_mesh(spec: &VirtualService) -> bool {
    spec.gateways.is_empty() || spec.gateways.iter().any(|g| g == "mesh")
}

/// Every destination of a VirtualService that gets traffic or copies, with its path.
pub fn destinations<'a>(object: &'a Object, spec: &'a VirtualService) -> Vec<(&'a Destination, FieldPath)> {
    let mut out = Vec::new();
    for route in routes_of(object, spec) {
        for (i, to) in route.route.route.iter().enumerate() {
            out.push((&to.destination, route.path(&format!("route[{i}].destination"))));
        }
        out.extend(route.mirrors().into_iter().map(|(to, path, _)| (to, path)));
    }
    let l4 = |kind: &str, i: usize, j: usize| {
        FieldPath::from(format!("spec.{kind}[{i}].route[{j}].destination").as_str())
    };
    for (i, route) in spec.tls.iter().enumerate() {
        out.extend(route.route.iter().enumerate().map(|(j, to)| (&to.destination, l4("tls", i, j))));
    }
    for (i, route) in spec.tcp.iter().enumerate() {
        out.extend(route.route.iter().enumerate().map(|(j, to)| (&to.destination, l4("tcp", i, j))));
    }
    out
}

/// The gateways that a VirtualService is bound to, besides the sidecars: at the top or in single conditions.
pub fn bound_gateways(object: &Object, spec: &VirtualService) -> std::collections::BTreeSet<NsName> {
    let conditions = spec.http.iter().flat_map(|r| &r.matches).flat_map(|m| &m.gateways);
    let tls = spec.tls.iter().flat_map(|r| &r.matches).flat_map(|m| &m.gateways);
    let tcp = spec.tcp.iter().flat_map(|r| &r.matches).flat_map(|m| &m.gateways);
    let named = spec.gateways.iter().chain(conditions).chain(tls).chain(tcp).filter(|g| *g != "mesh");
    named.map(|g| gateway_name(g, &object.meta.namespace)).collect()
}

/// The gateway that `written` names in a resource of `namespace`: `name`, `./name` or `namespace/name`.
pub fn gateway_name(written: &str, namespace: &str) -> NsName {
    match written.split_once('/') {
        None | Some((".", _)) => NsName::new(namespace, written.trim_start_matches("./")),
        Some((namespace, name)) => NsName::new(namespace, name),
    }
}

/// The text of a condition on requests with the gateways for which it is asked, to find the same one again; names and
/// prefixes of metrics do not count.
pub fn http_key(matched: &HttpMatchRequest, top: &[String]) -> String {
    let mut matched = matched.clone();
    matched.name.clear();
    matched.stat_prefix.clear();
    let gateways = std::mem::take(&mut matched.gateways);
    key(&matched.encode(), &gateways, top)
}

/// As [`http_key`] for a condition on connections.
pub fn l4_key<T: Field>(matched: &T, gateways: &[String], top: &[String]) -> String {
    let mut written = matched.encode();
    if let Some(fields) = written.as_object_mut() {
        fields.remove("gateways");
    }
    key(&written, gateways, top)
}

fn key(condition: &serde_json::Value, own: &[String], top: &[String]) -> String {
    let mut gateways: Vec<&str> = if own.is_empty() { top } else { own }.iter().map(String::as_str).collect();
    gateways.sort_unstable();
    format!("{} {condition}", gateways.join(","))
}
