//! Single values that the main thread knows: readiness, uptime, certificate life, build.

/// Whether a single value only grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExtraKind {
    /// It only grows.
    Counter,
    /// It goes up and down.
    Gauge,
}

/// One value outside the store.
#[derive(Clone, Debug, PartialEq)]
pub struct Extra {
    /// Name in `/stats`, such as `server.live`; `None` for metrics that are no Envoy statistics.
    pub envoy_name: Option<String>,
    /// Name in Prometheus text.
    pub name: String,
    /// What it means; for metrics that are no Envoy statistics.
    pub help: &'static str,
    /// Labels in Prometheus text.
    pub labels: Vec<(&'static str, String)>,
    /// Whether it only grows.
    pub kind: ExtraKind,
    /// The value.
    pub value: f64,
}

impl Extra {
    /// An Envoy statistic such as `server.live`: in Prometheus text `envoy_server_live`.
    pub fn envoy(name: impl Into<String>, kind: ExtraKind, value: f64) -> Self {
        let name = name.into();
        let prometheus = format!("envoy_{}", super::prometheus::sanitize(&name));
        Self { envoy_name: Some(name), name: prometheus, help: "", labels: Vec::new(), kind, value }
    }

    /// A statistic of a cluster that no worker knows: in Prometheus text with the cluster as a label, as those of others.
    pub fn of_cluster(cluster: &str, stat: &str, kind: ExtraKind, value: f64) -> Self {
        let name = format!("envoy_cluster_{}", super::prometheus::sanitize(stat));
        let envoy_name = Some(format!("cluster.{cluster}.{stat}"));
        let labels = vec![("cluster_name", cluster.to_owned())];
        Self { envoy_name, name, help: "", labels, kind, value }
    }

    /// A metric that is no Envoy statistic, such as `istio_build`.
    pub fn metric(name: impl Into<String>, kind: ExtraKind, value: f64) -> Self {
        Self { envoy_name: None, name: name.into(), help: "", labels: Vec::new(), kind, value }
    }

    /// Says what it means.
    #[must_use]
    pub fn help(mut self, help: &'static str) -> Self {
        self.help = help;
        self
    }

    /// Adds a label.
    #[must_use]
    pub fn with(mut self, label: &'static str, value: impl Into<String>) -> Self {
        self.labels.push((label, value.into()));
        self
    }
}
