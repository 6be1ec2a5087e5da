//! `stats`: the configuration of `istio.stats`, which reports the `istio_*` metrics.

use std::collections::BTreeMap;

use crate::envoy::google::Duration;

/// Configuration of `istio.stats`, HTTP and TCP.
#[derive(Clone, PartialEq, prost::Message)]
pub struct PluginConfig {
    /// Do not fall back to the Host header when the destination service is unknown (gateways).
    #[prost(bool, tag = "6")]
    pub disable_host_header_fallback: bool,
    /// How often long TCP connections are reported; default 15 s.
    #[prost(message, optional, tag = "7")]
    pub tcp_reporting_duration: Option<Duration>,
    /// Changes to standard metrics.
    #[prost(message, repeated, tag = "8")]
    pub metrics: Vec<MetricConfig>,
    /// Further metrics.
    #[prost(message, repeated, tag = "9")]
    pub definitions: Vec<MetricDefinition>,
    /// Whether the reporter follows the listener's direction, or is a waypoint.
    #[prost(enumeration = "Reporter", tag = "10")]
    pub reporter: i32,
    /// How often scopes are rotated; default 24 h.
    #[prost(message, optional, tag = "11")]
    pub rescoping_duration: Option<Duration>,
    /// How long a rotated scope lives on; default 15 s.
    #[prost(message, optional, tag = "12")]
    pub scope_grace_period_duration: Option<Duration>,
}
super::named!(PluginConfig, "stats", "PluginConfig");

/// Changes to one standard metric, or to all.
#[derive(Clone, PartialEq, prost::Message)]
pub struct MetricConfig {
    /// Labels to add or change: name to expression.
    #[prost(btree_map = "string, string", tag = "1")]
    pub dimensions: BTreeMap<String, String>,
    /// The metric without `istio_`; empty for all.
    #[prost(string, tag = "2")]
    pub name: String,
    /// Labels to leave out.
    #[prost(string, repeated, tag = "3")]
    pub tags_to_remove: Vec<String>,
    /// Not implemented by Istio either.
    #[prost(string, tag = "4")]
    pub r#match: String,
    /// Whether the metric is not reported at all.
    #[prost(bool, tag = "5")]
    pub drop: bool,
}
super::named!(MetricConfig, "stats", "MetricConfig");

/// A further metric.
#[derive(Clone, PartialEq, prost::Message)]
pub struct MetricDefinition {
    /// Its name, without `istio_`.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Expression of its value.
    #[prost(string, tag = "2")]
    pub value: String,
    /// Its type.
    #[prost(enumeration = "MetricType", tag = "3")]
    pub r#type: i32,
}
super::named!(MetricDefinition, "stats", "MetricDefinition");

/// Type of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum MetricType {
    /// Only grows.
    Counter = 0,
    /// Goes up and down.
    Gauge = 1,
    /// Distribution.
    Histogram = 2,
}

/// Who reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum Reporter {
    /// By the listener's direction: outbound is `source`, inbound `destination`.
    Unspecified = 0,
    /// A waypoint.
    ServerGateway = 1,
}
