//! A bootstrap with telemetry off or on: what the control plane sends a sidecar for it, and nothing else, makes the difference.

use crate::configs::Place;
use serde_json::{Value, json};

/// How much is observed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Observed {
    /// As `compare` has it: a line for each request, to /dev/null.
    Logged,
    /// Nothing: no metrics, no exchange of peer metadata, no log, no traces.
    Nothing,
    /// Istio's metrics with the exchange of peer metadata.
    Metrics,
    /// Those, a log of errors in Istio's format, and traces of one request in a hundred.
    Everything,
}

impl Observed {
    pub(crate) const LEVELS: [Self; 3] = [Self::Nothing, Self::Metrics, Self::Everything];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Logged => "logged",
            Self::Nothing => "nothing",
            Self::Metrics => "metrics",
            Self::Everything => "metrics, errors logged, 1 % traced",
        }
    }

    /// Changes a bootstrap of one listener and the cluster `backend` to what is observed of it.
    pub(crate) fn apply(self, bootstrap: &mut Value, place: Place) {
        if self == Self::Logged {
            return;
        }
        let listener = &mut bootstrap["static_resources"]["listeners"][0];
        listener["traffic_direction"] = json!(if place == Place::Second { "INBOUND" } else { "OUTBOUND" });
        let manager = &mut listener["filter_chains"][0]["filters"][0]["typed_config"];
        manager["access_log"] = json!([]);
        if self == Self::Nothing {
            return;
        }
        if let Some(filters) = manager["http_filters"].as_array_mut() {
            filters.insert(0, peer_metadata(place));
            filters.insert(filters.len() - 1, stats());
        }
        if self == Self::Everything {
            manager["access_log"] = json!([log_of_errors()]);
            manager["tracing"] = tracing();
        }
        bootstrap["node"] = node(place);
        name_destination(&mut bootstrap["static_resources"]["clusters"][0]);
    }
}

fn stats() -> Value {
    json!({"name": "istio.stats", "typed_config": {"@type": "type.googleapis.com/stats.PluginConfig"}})
}

/// Istio's exchange in headers, each end in the direction that it has.
fn peer_metadata(place: Place) -> Value {
    let find = json!([{"istio_headers": {}}]);
    let tell = json!([{"istio_headers": {"skip_external_clusters": true}}]);
    let kind = "type.googleapis.com/io.istio.http.peer_metadata.Config";
    let config = match place {
        Place::Second => {
            json!({"@type": kind, "downstream_discovery": find, "downstream_propagation": tell})
        }
        Place::Hop | Place::First => {
            json!({"@type": kind, "upstream_discovery": find, "upstream_propagation": tell})
        }
    };
    json!({"name": "istio.peer_metadata", "typed_config": config})
}

/// Istio's default text for what ended badly.
fn log_of_errors() -> Value {
    const FORMAT: &str = "[%START_TIME%] \"%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%\" %RESPONSE_CODE% \
        %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %CONNECTION_TERMINATION_DETAILS% \"%UPSTREAM_TRANSPORT_FAILURE_REASON%\" \
        %BYTES_RECEIVED% %BYTES_SENT% %DURATION% %RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% \"%REQ(X-FORWARDED-FOR)%\" \
        \"%REQ(USER-AGENT)%\" \"%REQ(X-REQUEST-ID)%\" \"%REQ(:AUTHORITY)%\" \"%UPSTREAM_HOST%\" %UPSTREAM_CLUSTER_RAW% \
        %UPSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_REMOTE_ADDRESS% %REQUESTED_SERVER_NAME% \
        %ROUTE_NAME%\n";
    json!({
        "name": "envoy.access_loggers.file",
        "filter": {"status_code_filter": {"comparison": {
            "op": "GE", "value": {"default_value": 400, "runtime_key": "none"},
        }}},
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog",
            "path": "/dev/null",
            "log_format": {"text_format_source": {"inline_string": FORMAT}},
        },
    })
}

/// The mesh's default: one in a hundred, at random, to nobody but the control plane's store.
fn tracing() -> Value {
    json!({
        "client_sampling": {"value": 100}, "random_sampling": {"value": 1}, "overall_sampling": {"value": 100},
    })
}

fn node(place: Place) -> Value {
    let name = if place == Place::Second { "server" } else { "client" };
    json!({
        "id": format!("sidecar~127.0.0.1~{name}-7d4b9c6f5-x2x4z.bench~bench.svc.cluster.local"),
        "cluster": format!("{name}.bench"),
        "metadata": {
            "NAME": format!("{name}-7d4b9c6f5-x2x4z"),
            "NAMESPACE": "bench",
            "WORKLOAD_NAME": name,
            "OWNER": format!("kubernetes://apis/apps/v1/namespaces/bench/deployments/{name}"),
            "CLUSTER_ID": "Kubernetes",
            "SERVICE_ACCOUNT": name,
            "LABELS": {
                "app": name, "version": "v1",
                "service.istio.io/canonical-name": name, "service.istio.io/canonical-revision": "v1",
            },
        },
    })
}

/// What the control plane says of a cluster's service and of its endpoint's workload.
fn name_destination(cluster: &mut Value) {
    let service = json!({"host": "backend.bench.svc.cluster.local", "name": "backend", "namespace": "bench"});
    cluster["metadata"] = json!({"filter_metadata": {"istio": {"services": [service]}}});
    cluster["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["metadata"] =
        json!({"filter_metadata": {"istio": {"workload": "server;bench;server;v1;Kubernetes"}}});
}
