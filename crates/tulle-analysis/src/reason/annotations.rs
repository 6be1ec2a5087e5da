//! The annotations that a mesh reads: where they belong, what they may say, and how settled they are.

use std::net::IpAddr;

use tulle_api::{Kind, Object};
use tulle_base::FieldPath;

use crate::whole::Whole;

/// A known annotation.
#[derive(Clone, Copy, Debug)]
pub struct Known {
    /// Its key.
    pub name: &'static str,
    /// Kinds on which it is read; every one when empty.
    pub on: &'static [&'static str],
    /// What it may say.
    pub value: Value,
    /// How settled it is.
    pub stage: Stage,
}

/// How settled a feature is, by Istio's own word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// It stays.
    Settled,
    /// It may change.
    Alpha,
    /// It goes; what to write instead.
    Deprecated(&'static str),
}

/// What an annotation may say.
#[derive(Clone, Copy, Debug)]
pub enum Value {
    /// Anything.
    Text,
    /// `true` or `false`.
    Bool,
    /// A whole number from 0 to this.
    Number(u32),
    /// Ports, separated by commas; with `true` also `*`.
    Ports(bool),
    /// Ranges of addresses, separated by commas; with `true` also `*`.
    Ranges(bool),
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// JSON.
    Json,
    /// `*`, `.`, `~` or names of namespaces, separated by commas.
    Namespaces,
    /// A moment, or a duration.
    Expiry,
    /// `header:NAME`, `cookie:NAME`, `query:NAME` or `source-ip`.
    RequestKey,
}

impl Value {
    /// What `text` should be instead, if it cannot be read.
    pub fn problem(self, text: &str) -> Option<String> {
        let parts = || text.split(',').map(str::trim).filter(|p| !p.is_empty());
        let (good, wanted): (bool, String) = match self {
            Self::Text => (true, String::new()),
            Self::Bool => (tulle_api::parse_bool(text).is_some(), "write \"true\" or \"false\"".into()),
            Self::Number(most) => {
                let good = text.parse::<u32>().is_ok_and(|n| n <= most);
                (good, format!("write a whole number from 0 to {most}"))
            }
            Self::Ports(star) => {
                let good = (star && text.trim() == "*") || parts().all(|p| p.parse::<u16>().is_ok());
                (good, "write ports separated by commas, as in \"80,8080\"".into())
            }
            Self::Ranges(star) => {
                let good = (star && text.trim() == "*") || parts().all(is_range);
                (good, "write ranges separated by commas, as in \"10.0.0.0/8,192.168.0.0/16\"".into())
            }
            Self::OneOf(words) => (words.contains(&text), format!("write one of {}", words.join(", "))),
            Self::Expiry => {
                let wanted = "write a moment such as 2026-08-01T10:00:00Z, or a duration such as 30m";
                (tulle_mesh::annotations::Expiry::parse(text).is_some(), wanted.into())
            }
            Self::RequestKey => {
                let wanted = "write header:NAME, cookie:NAME, query:NAME or source-ip";
                (tulle_mesh::annotations::sticky(text).is_some(), wanted.into())
            }
            Self::Json => {
                (serde_json::from_str::<serde_json::Value>(text).is_ok(), "write JSON, in quotes".into())
            }
            Self::Namespaces => {
                let name =
                    |p: &str| p.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
                let good = parts().all(|p| matches!(p, "*" | "." | "~") || name(p));
                (good, "write *, ., ~ or namespaces separated by commas".into())
            }
        };
        (!good).then_some(wanted)
    }
}

fn is_range(text: &str) -> bool {
    let (address, bits) = text.split_once('/').map_or((text, None), |(a, b)| (a, Some(b)));
    let Ok(address) = address.parse::<IpAddr>() else { return false };
    let most = if address.is_ipv4() { 32 } else { 128 };
    bits.is_none_or(|b| b.parse::<u8>().is_ok_and(|b| b <= most))
}

const POD: &[&str] = &["Pod"];
const LEVELS: &[&str] = &["trace", "debug", "info", "warning", "warn", "error", "critical", "off"];

const fn known(name: &'static str, on: &'static [&'static str], value: Value, stage: Stage) -> Known {
    Known { name, on, value, stage }
}

/// Every annotation in the mesh's domains that somebody reads or writes.
pub const KNOWN: &[Known] = &{
    use Stage::{Alpha, Deprecated, Settled};
    use Value::{Bool, Expiry, Json, Namespaces, Number, OneOf, Ports, Ranges, RequestKey, Text};
    const STATS: &str = "write proxyStatsMatcher in proxy.istio.io/config";
    const ENTRY: &[&str] = &["WorkloadEntry"];
    const WAYPOINT_USERS: &[&str] = &["Namespace", "Service", "ServiceEntry"];
    const ROUTES: &[&str] = &["VirtualService"];
    [
        known("tulle.io/fault-expires", ROUTES, Expiry, Settled),
        known("tulle.io/sticky-split", ROUTES, RequestKey, Settled),
        known("proxy.istio.io/config", POD, Text, Settled),
        known("proxy.istio.io/overrides", POD, Text, Alpha),
        known("proxy.istio.io/health-checks-enabled", ENTRY, Bool, Alpha),
        known("inject.istio.io/templates", POD, Text, Alpha),
        known("sidecar.istio.io/inject", POD, Bool, Deprecated("write it as a label of the pod")),
        known("sidecar.istio.io/status", POD, Text, Settled),
        known("sidecar.istio.io/proxyImage", POD, Text, Alpha),
        known("sidecar.istio.io/proxyImageType", POD, Text, Alpha),
        known("sidecar.istio.io/proxyCPU", POD, Text, Alpha),
        known("sidecar.istio.io/proxyCPULimit", POD, Text, Alpha),
        known("sidecar.istio.io/proxyMemory", POD, Text, Alpha),
        known("sidecar.istio.io/proxyMemoryLimit", POD, Text, Alpha),
        known("sidecar.istio.io/nativeSidecar", POD, Bool, Settled),
        known("sidecar.istio.io/interceptionMode", POD, OneOf(&["REDIRECT", "TPROXY", "NONE"]), Alpha),
        known("sidecar.istio.io/rewriteAppHTTPProbers", POD, Bool, Alpha),
        known("sidecar.istio.io/enableCoreDump", POD, Bool, Alpha),
        known("sidecar.istio.io/logLevel", POD, OneOf(LEVELS), Alpha),
        known("sidecar.istio.io/componentLogLevel", POD, Text, Alpha),
        known("sidecar.istio.io/agentLogLevel", POD, Text, Alpha),
        known("sidecar.istio.io/bootstrapOverride", POD, Text, Alpha),
        known("sidecar.istio.io/userVolume", POD, Json, Alpha),
        known("sidecar.istio.io/userVolumeMount", POD, Json, Alpha),
        known("sidecar.istio.io/statsHistogramBuckets", POD, Json, Alpha),
        known("sidecar.istio.io/statsHistogramBins", POD, Number(u32::MAX), Alpha),
        known("sidecar.istio.io/statsFlushInterval", POD, Text, Alpha),
        known("sidecar.istio.io/statsEvictionInterval", POD, Text, Alpha),
        known("sidecar.istio.io/statsCompression", POD, Bool, Deprecated("remove it")),
        known(
            "sidecar.istio.io/discoveryAddress",
            POD,
            Text,
            Deprecated("write it in proxy.istio.io/config"),
        ),
        known("sidecar.istio.io/controlPlaneAuthPolicy", POD, Text, Deprecated("remove it")),
        known("sidecar.istio.io/statsInclusionPrefixes", POD, Text, Deprecated(STATS)),
        known("sidecar.istio.io/statsInclusionSuffixes", POD, Text, Deprecated(STATS)),
        known("sidecar.istio.io/statsInclusionRegexps", POD, Text, Deprecated(STATS)),
        known(
            "sidecar.istio.io/extraStatTags",
            POD,
            Text,
            Deprecated("write extraStatTags in proxy.istio.io/config"),
        ),
        known("status.sidecar.istio.io/port", POD, Number(65_535), Alpha),
        known("readiness.status.sidecar.istio.io/initialDelaySeconds", POD, Number(u32::MAX), Alpha),
        known("readiness.status.sidecar.istio.io/periodSeconds", POD, Number(u32::MAX), Alpha),
        known("readiness.status.sidecar.istio.io/failureThreshold", POD, Number(u32::MAX), Alpha),
        known("readiness.status.sidecar.istio.io/applicationPorts", POD, Ports(false), Alpha),
        known("traffic.sidecar.istio.io/includeOutboundIPRanges", POD, Ranges(true), Alpha),
        known("traffic.sidecar.istio.io/excludeOutboundIPRanges", POD, Ranges(false), Alpha),
        known("traffic.sidecar.istio.io/includeOutboundPorts", POD, Ports(false), Alpha),
        known("traffic.sidecar.istio.io/excludeOutboundPorts", POD, Ports(false), Alpha),
        known("traffic.sidecar.istio.io/includeInboundPorts", POD, Ports(true), Alpha),
        known("traffic.sidecar.istio.io/excludeInboundPorts", POD, Ports(false), Alpha),
        known("traffic.sidecar.istio.io/excludeInterfaces", POD, Text, Alpha),
        known(
            "traffic.sidecar.istio.io/kubevirtInterfaces",
            POD,
            Text,
            Deprecated("write istio.io/reroute-virtual-interfaces"),
        ),
        known("istio.io/reroute-virtual-interfaces", POD, Text, Alpha),
        known("traffic.istio.io/nodeSelector", &["Service"], Json, Settled),
        known("networking.istio.io/exportTo", &["Service"], Namespaces, Alpha),
        known("networking.istio.io/traffic-distribution", WAYPOINT_USERS, Text, Settled),
        known("networking.istio.io/service-type", &["Gateway"], Text, Alpha),
        known("networking.istio.io/address-type", &["Gateway"], Text, Alpha),
        known("gateway.istio.io/name-override", &["Gateway"], Text, Alpha),
        known("gateway.istio.io/service-account", &["Gateway"], Text, Alpha),
        known("gateway.istio.io/controller-version", &["Gateway"], Text, Alpha),
        known("istio.io/connect-strategy", &["ServiceEntry"], Text, Alpha),
        known("istio.io/dry-run", &["AuthorizationPolicy"], Bool, Alpha),
        known("istio.io/rev", POD, Text, Settled),
        known("istio.io/use-waypoint-canary-weight", WAYPOINT_USERS, Number(100), Alpha),
        known("istio.io/autoRegistrationGroup", ENTRY, Text, Alpha),
        known("istio.io/workloadController", ENTRY, Text, Alpha),
        known("istio.io/connectedAt", ENTRY, Text, Alpha),
        known("istio.io/disconnectedAt", ENTRY, Text, Alpha),
        known("ambient.istio.io/redirection", POD, Text, Settled),
        known("ambient.istio.io/xfcc-include-client-identity", POD, Bool, Alpha),
        known("ambient.istio.io/bypass-inbound-capture", POD, Bool, Alpha),
        known("ambient.istio.io/dns-capture", POD, Bool, Alpha),
        known("ambient.istio.io/waypoint-inbound-binding", &["Gateway", "GatewayClass"], Text, Alpha),
        known("topology.istio.io/controlPlaneClusters", &["Namespace"], Text, Alpha),
        known("prometheus.istio.io/merge-metrics", POD, Bool, Alpha),
        known("prometheus.istio.io/scrape-targets", POD, Text, Alpha),
        known("prometheus.istio.io/secure-port", POD, Number(65_535), Alpha),
        known("galley.istio.io/analyze-suppress", &[], Text, Alpha),
        known("install.operator.istio.io/chart-owner", &[], Text, Alpha),
        known("install.operator.istio.io/owner-generation", &[], Text, Alpha),
        known("install.operator.istio.io/version", &[], Text, Alpha),
        known("alpha.istio.io/kubernetes-serviceaccounts", &["Service"], Text, Deprecated("remove it")),
        known("alpha.istio.io/canonical-serviceaccounts", &["Service"], Text, Deprecated("remove it")),
        known("alpha.istio.io/identity", POD, Text, Deprecated("remove it")),
    ]
};

/// An annotation as it is written.
#[derive(Clone, Copy, Debug)]
pub struct Written<'a> {
    /// The document.
    pub object: &'a Object,
    /// The kind that it stands on: the document's, or `Pod` in a template.
    pub kind: &'static str,
    /// Whether the document makes pods, and this is not in the template.
    pub makes_pods: bool,
    /// Its key.
    pub key: &'a str,
    /// What it says.
    pub value: &'a str,
    /// What is known about it.
    pub known: Option<&'static Known>,
    template: &'static str,
}

impl Written<'_> {
    /// Where it stands.
    pub fn path(&self) -> FieldPath {
        FieldPath::from(format!("{}metadata.annotations", self.template).as_str()).field(self.key)
    }
}

/// Every annotation of the configuration in one of the mesh's domains, in the order of the objects. Pods that run are left
/// out where the mesh itself wrote into them.
pub fn written<'a>(whole: &Whole<'a>) -> Vec<Written<'a>> {
    let mut out = Vec::new();
    for object in whole.objects() {
        let injected = object.kind() == Kind::Pod && object.status.is_some();
        if injected || !object.meta.owner_references.is_empty() {
            continue;
        }
        let makes_pods = matches!(
            object.kind(),
            Kind::Deployment | Kind::ReplicaSet | Kind::StatefulSet | Kind::DaemonSet | Kind::Job
        );
        let kind = object.kind().info().kind;
        out.extend(of(object, kind, makes_pods, &object.meta.annotations, ""));
    }
    for pods in whole.pods().iter().filter(|p| !p.template.is_empty()) {
        out.extend(of(pods.object, "Pod", false, &pods.meta.annotations, pods.template));
    }
    out
}

fn of<'a>(
    object: &'a Object,
    kind: &'static str,
    makes_pods: bool,
    annotations: &'a tulle_base::Labels,
    template: &'static str,
) -> impl Iterator<Item = Written<'a>> {
    let ours = annotations.iter().filter(|(key, _)| {
        key.split_once('/').is_some_and(|(domain, _)| domain == "istio.io" || domain.ends_with(".istio.io"))
    });
    ours.map(move |(key, value)| {
        let known = KNOWN.iter().find(|k| k.name == key);
        Written { object, kind, makes_pods, key, value, known, template }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_as_the_mesh_reads_them() {
        let cases: &[(Value, &[&str], &[&str])] = &[
            (Value::Bool, &["true", "false", "1"], &["yes", ""]),
            (Value::Number(100), &["0", "100"], &["101", "-1", "a"]),
            (Value::Ports(true), &["*", "80", "80, 81", ""], &["80;81", "http", "70000"]),
            (Value::Ports(false), &["80"], &["*"]),
            (Value::Ranges(true), &["*", "10.0.0.0/8,1.2.3.4", "::/0"], &["10.0.0.0/33", "a"]),
            (Value::OneOf(&["A", "B"]), &["A"], &["a"]),
            (Value::Json, &["[]", "{\"a\": 1}"], &["[", "a"]),
            (Value::Namespaces, &["*", ".", "~", "shop,pay"], &["Shop", "a.b"]),
        ];
        for (value, good, bad) in cases {
            assert!(good.iter().all(|g| value.problem(g).is_none()), "{value:?}");
            assert!(bad.iter().all(|b| value.problem(b).is_some()), "{value:?}");
        }
    }

    #[test]
    fn each_is_known_once() {
        let names: std::collections::BTreeSet<&str> = KNOWN.iter().map(|k| k.name).collect();
        assert_eq!(names.len(), KNOWN.len());
    }
}
