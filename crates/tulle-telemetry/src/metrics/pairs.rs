//! The labels of a series as names and values, after what overrides do to them.

use std::borrow::Cow;
use std::collections::BTreeMap;

use hashbrown::HashMap;

use super::labels::PeerLabels;
use super::rules::{Metric, Tags};
use super::snapshot::{SeriesLabels, Sum};

/// Families of metrics with the same labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Family {
    Requests,
    Messages,
    Tcp,
}

/// Labels by name.
pub(crate) type Pairs<'a> = Vec<(Cow<'a, str>, Cow<'a, str>)>;

/// The labels that Istio's metrics of a family have.
pub(crate) fn pairs(labels: &SeriesLabels, family: Family) -> Pairs<'_> {
    let mut out: Vec<(&'static str, Cow<'_, str>)> = Vec::with_capacity(26);
    out.push(("reporter", labels.reporter.as_str().into()));
    peer(&labels.source, SOURCE, &mut out);
    peer(&labels.destination, DESTINATION, &mut out);
    out.push(("destination_service", (&*labels.service.host).into()));
    out.push(("destination_service_name", (&*labels.service.name).into()));
    out.push(("destination_service_namespace", (&*labels.service.namespace).into()));
    if family != Family::Messages {
        out.push(("request_protocol", labels.protocol.as_str().into()));
        if family == Family::Requests {
            let grpc = labels.grpc_status.map_or(String::new(), |s| s.to_string());
            out.push(("response_code", labels.response_code.to_string().into()));
            out.push(("grpc_response_status", grpc.into()));
        }
        out.push(("response_flags", labels.flags().to_string().into()));
        out.push(("connection_security_policy", labels.security.as_str().into()));
    }
    out.into_iter().map(|(name, value)| (Cow::Borrowed(name), value)).collect()
}

/// The labels of one metric after its overrides; `None` if it is not reported.
pub(crate) fn overridden<'a>(
    mut pairs: Pairs<'a>,
    tags: Option<&'a Tags>,
    metric: Metric,
) -> Option<Pairs<'a>> {
    let Some(tags) = tags else { return Some(pairs) };
    let rule = tags.rules.of(metric);
    if rule.drop {
        return None;
    }
    pairs.retain(|(name, _)| !rule.remove.iter().any(|r| **r == **name));
    for (name, index) in &rule.set {
        let Some(value) = tags.values.get(*index) else { continue };
        let value = Cow::Borrowed(&**value);
        match pairs.iter_mut().find(|(known, _)| **known == **name) {
            Some(pair) => pair.1 = value,
            None => pairs.push((Cow::Borrowed(&**name), value)),
        }
    }
    Some(pairs)
}

/// The series of one metric, with those put together whose labels are the same after overrides, in the order of their labels.
pub(crate) fn grouped<V: Sum>(
    series: &HashMap<SeriesLabels, V>,
    family: Family,
    metric: Metric,
) -> BTreeMap<Pairs<'_>, Cow<'_, V>> {
    let mut out: BTreeMap<Pairs<'_>, Cow<'_, V>> = BTreeMap::new();
    for (labels, values) in series {
        let Some(pairs) = overridden(pairs(labels, family), labels.tags.as_deref(), metric) else { continue };
        match out.entry(pairs) {
            std::collections::btree_map::Entry::Vacant(entry) => drop(entry.insert(Cow::Borrowed(values))),
            std::collections::btree_map::Entry::Occupied(mut entry) => entry.get_mut().to_mut().add(values),
        }
    }
    out
}

/// Whether overrides do anything to these series.
pub(crate) fn any_tagged<V>(series: &HashMap<SeriesLabels, V>) -> bool {
    series.keys().any(|labels| labels.tags.is_some())
}

/// Names of the labels of one side, in the order of [`peer`].
type SideNames = [&'static str; 8];

const SOURCE: SideNames = [
    "source_workload",
    "source_workload_namespace",
    "source_principal",
    "source_app",
    "source_version",
    "source_canonical_service",
    "source_canonical_revision",
    "source_cluster",
];

const DESTINATION: SideNames = [
    "destination_workload",
    "destination_workload_namespace",
    "destination_principal",
    "destination_app",
    "destination_version",
    "destination_canonical_service",
    "destination_canonical_revision",
    "destination_cluster",
];

fn peer<'a>(labels: &'a PeerLabels, names: SideNames, out: &mut Vec<(&'static str, Cow<'a, str>)>) {
    let PeerLabels {
        workload,
        namespace,
        principal,
        app,
        version,
        canonical_service,
        canonical_revision,
        cluster,
    } = labels;
    let values =
        [workload, namespace, principal, app, version, canonical_service, canonical_revision, cluster];
    out.extend(names.into_iter().zip(values.map(|v| Cow::Borrowed(&**v))));
}
