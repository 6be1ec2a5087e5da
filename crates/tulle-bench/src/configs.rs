//! What each proxy is told: the same job in each one's words.
//!
//! Envoy and Tulle get the same file, shaped as Istio's sidecars are: CORS, fault, gRPC statistics, RBAC and router filters,
//! an access log (to /dev/null), a retry policy, least request. nginx and HAProxy route only.

use crate::certs::{Certs, Identity};
use crate::observed::Observed;
use crate::peers::Peer;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// Where a proxy stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// Between client and backend, in the clear.
    Hop,
    /// First of a pair: plain in, mutual TLS out.
    First,
    /// Second of a pair: mutual TLS in, plain out.
    Second,
}

/// HTTP's version between the two of a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Between {
    H1,
    H2,
}

/// One proxy's job.
pub(crate) struct Job<'a> {
    pub(crate) place: Place,
    pub(crate) between: Between,
    pub(crate) listen: u16,
    pub(crate) upstream: u16,
    pub(crate) certs: &'a Certs,
    /// Envoy and Tulle: what is observed of requests.
    pub(crate) observed: Observed,
}

impl Job<'_> {
    /// Writes the configuration for `peer` to `folder`; the file.
    pub(crate) fn write(&self, peer: Peer, folder: &Path) -> anyhow::Result<PathBuf> {
        let name = format!("{}-{}", peer.name(), self.listen);
        let (file, text) = match peer {
            Peer::Tulle | Peer::Envoy => {
                (folder.join(format!("{name}.json")), serde_json::to_string_pretty(&self.bootstrap(0))?)
            }
            Peer::Nginx => (folder.join(format!("{name}.conf")), self.nginx(folder)),
            Peer::Haproxy => (folder.join(format!("{name}.cfg")), self.haproxy()),
            Peer::Relay => (folder.join(format!("{name}.txt")), format!("{} {}", self.listen, self.upstream)),
        };
        std::fs::write(&file, text)?;
        Ok(file)
    }

    /// The bootstrap, with so many clusters of four endpoints besides.
    pub(crate) fn bootstrap(&self, more_clusters: usize) -> Value {
        let mut clusters = vec![self.cluster()];
        clusters.extend((0..more_clusters).map(spare_cluster));
        let mut bootstrap = json!({
            "node": {"id": "bench", "cluster": "bench"},
            "static_resources": {"listeners": [self.listener()], "clusters": clusters},
        });
        self.observed.apply(&mut bootstrap, self.place);
        bootstrap
    }

    fn listener(&self) -> Value {
        let mut chain = json!({"filters": [{
            "name": "envoy.filters.network.http_connection_manager",
            "typed_config": self.manager(),
        }]});
        if self.place == Place::Second {
            chain["transport_socket"] = json!({
                "name": "envoy.transport_sockets.tls",
                "typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
                    "require_client_certificate": true,
                    "common_tls_context": self.tls(&self.certs.server, &self.certs.client),
                },
            });
        }
        json!({"name": "front", "address": address(self.listen), "filter_chains": [chain]})
    }

    fn manager(&self) -> Value {
        json!({
            "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
            "stat_prefix": "front",
            "codec_type": "AUTO",
            "route_config": {
                "name": "front",
                "validate_clusters": false,
                "virtual_hosts": [{
                    "name": "any",
                    "domains": ["*"],
                    "routes": [{
                        "name": "default",
                        "match": {"prefix": "/"},
                        "route": {"cluster": "backend", "timeout": "0s", "retry_policy": {
                            "retry_on": "connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes",
                            "num_retries": 2,
                            "retry_host_predicate": [{
                                "name": "envoy.retry_host_predicates.previous_hosts",
                                "typed_config": {"@type": "type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"},
                            }],
                            "host_selection_retry_max_attempts": 5,
                        }},
                    }],
                }],
            },
            "access_log": [{
                "name": "envoy.access_loggers.file",
                "typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog",
                    "path": "/dev/null",
                },
            }],
            "http_filters": [
                filter("envoy.filters.http.rbac", "envoy.extensions.filters.http.rbac.v3.RBAC", self.rbac()),
                filter("envoy.filters.http.grpc_stats", "envoy.extensions.filters.http.grpc_stats.v3.FilterConfig",
                    json!({"emit_filter_state": true, "stats_for_all_methods": false})),
                filter("envoy.filters.http.fault", "envoy.extensions.filters.http.fault.v3.HTTPFault", json!({})),
                filter("envoy.filters.http.cors", "envoy.extensions.filters.http.cors.v3.Cors", json!({})),
                filter("envoy.filters.http.router", "envoy.extensions.filters.http.router.v3.Router", json!({})),
            ],
        })
    }

    /// An ALLOW policy that holds: any path, and the client's identity where there is one.
    fn rbac(&self) -> Value {
        let principal = match self.place {
            Place::Second => {
                json!({"authenticated": {"principal_name": {"exact": self.certs.client.spiffe}}})
            }
            _ => json!({"any": true}),
        };
        json!({"rules": {"action": "ALLOW", "policies": {"bench": {
            "permissions": [{"and_rules": {"rules": [
                {"or_rules": {"rules": [{"header": {"name": ":method", "string_match": {"exact": "GET"}}}]}},
                {"or_rules": {"rules": [{"url_path": {"path": {"prefix": "/"}}}]}},
            ]}}],
            "principals": [principal],
        }}}})
    }

    fn cluster(&self) -> Value {
        let http = match (self.place, self.between) {
            (Place::First, Between::H2) => "http2_protocol_options",
            _ => "http_protocol_options",
        };
        let thresholds = json!({
            "max_connections": u32::MAX, "max_pending_requests": u32::MAX,
            "max_requests": u32::MAX, "max_retries": u32::MAX,
        });
        let mut cluster = json!({
            "name": "backend",
            "type": "STATIC",
            "connect_timeout": "10s",
            "lb_policy": "LEAST_REQUEST",
            "circuit_breakers": {"thresholds": [thresholds]},
            "typed_extension_protocol_options": {
                "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                    "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
                    "explicit_http_config": {http: {}},
                },
            },
            "load_assignment": {"cluster_name": "backend", "endpoints": [{
                "lb_endpoints": [{"endpoint": {"address": address(self.upstream)}}],
            }]},
        });
        if self.place == Place::First {
            cluster["transport_socket"] = json!({
                "name": "envoy.transport_sockets.tls",
                "typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
                    "sni": "outbound_.80_._.backend.bench.svc.cluster.local",
                    "common_tls_context": self.tls(&self.certs.client, &self.certs.server),
                },
            });
        }
        cluster
    }

    fn tls(&self, own: &Identity, peer: &Identity) -> Value {
        let alpn = match self.between {
            Between::H1 => "http/1.1",
            Between::H2 => "h2",
        };
        json!({
            "alpn_protocols": [alpn],
            "tls_params": {"tls_minimum_protocol_version": "TLSv1_3", "tls_maximum_protocol_version": "TLSv1_3"},
            "tls_certificates": [{
                "certificate_chain": {"filename": own.chain},
                "private_key": {"filename": own.key},
            }],
            "validation_context": {
                "trusted_ca": {"filename": self.certs.root},
                "match_typed_subject_alt_names": [{"san_type": "URI", "matcher": {"exact": peer.spiffe}}],
            },
        })
    }

    fn nginx(&self, folder: &Path) -> String {
        let (root, folder) = (self.certs.root.display(), folder.display());
        let (tls_in, tls_out) = (self.place == Place::Second, self.place == Place::First);
        let server = &self.certs.server;
        let client = &self.certs.client;
        let bind = match self.place {
            // Prior knowledge needs a listener of its own kind in nginx 1.22: see `Between` for D5.
            Place::Hop if self.between == Between::H2 => " http2",
            Place::Second => " ssl",
            _ => "",
        };
        let tls_in = if tls_in {
            format!(
                "ssl_protocols TLSv1.3; ssl_certificate {}; ssl_certificate_key {};
      ssl_client_certificate {root}; ssl_verify_client on;",
                server.chain.display(),
                server.key.display()
            )
        } else {
            String::new()
        };
        let (scheme, tls_out) = if tls_out {
            let text = format!(
                "proxy_ssl_protocols TLSv1.3; proxy_ssl_certificate {}; proxy_ssl_certificate_key {};
        proxy_ssl_trusted_certificate {root}; proxy_ssl_verify off;",
                client.chain.display(),
                client.key.display()
            );
            ("https", text)
        } else {
            ("http", String::new())
        };
        let user = if rustix::process::geteuid().is_root() { "user root;" } else { "" };
        let (listen, upstream) = (self.listen, self.upstream);
        format!(
            "{user}
daemon off;
worker_processes 1;
pid {folder}/nginx-{listen}.pid;
error_log stderr error;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  client_body_temp_path {folder}/nginx-body; proxy_temp_path {folder}/nginx-proxy;
  fastcgi_temp_path {folder}/nginx-fastcgi; uwsgi_temp_path {folder}/nginx-uwsgi; scgi_temp_path {folder}/nginx-scgi;
  keepalive_requests 100000000;
  upstream backend {{ server 127.0.0.1:{upstream}; keepalive 64; keepalive_requests 100000000; }}
  server {{
    listen 127.0.0.1:{listen}{bind};
    {tls_in}
    location / {{
      proxy_pass {scheme}://backend;
      proxy_http_version 1.1;
      proxy_set_header Connection \"\";
      {tls_out}
    }}
  }}
}}
"
        )
    }

    fn haproxy(&self) -> String {
        let root = self.certs.root.display();
        let bind = match self.place {
            Place::Second => format!(
                " ssl crt {} ca-file {root} verify required ssl-min-ver TLSv1.3",
                self.certs.server.both.display()
            ),
            _ => String::new(),
        };
        let server = match self.place {
            Place::First => format!(
                " ssl crt {} ca-file {root} verify required ssl-min-ver TLSv1.3",
                self.certs.client.both.display()
            ),
            _ => String::new(),
        };
        let (listen, upstream) = (self.listen, self.upstream);
        format!(
            "global
  nbthread 1
  maxconn 4000
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  option http-keep-alive
  http-reuse always
frontend front
  bind 127.0.0.1:{listen}{bind}
  default_backend backend
backend backend
  server one 127.0.0.1:{upstream}{server}
"
        )
    }
}

/// A bootstrap that says nothing.
pub(crate) fn empty() -> Value {
    json!({"node": {"id": "bench", "cluster": "bench"}, "static_resources": {}})
}

fn filter(name: &str, kind: &str, mut config: Value) -> Value {
    config["@type"] = json!(format!("type.googleapis.com/{kind}"));
    json!({"name": name, "typed_config": config})
}

fn address(port: u16) -> Value {
    json!({"socket_address": {"address": "127.0.0.1", "port_value": port}})
}

fn spare_cluster(at: usize) -> Value {
    let name = format!("outbound|9080||service-{at}.bench.svc.cluster.local");
    let endpoints: Vec<Value> = (0..4)
        .map(|end| {
            let address = format!("10.{}.{}.{}", at / 250, at % 250, end + 1);
            json!({"endpoint": {"address": {"socket_address": {"address": address, "port_value": 9080}}}})
        })
        .collect();
    json!({
        "name": name,
        "type": "STATIC",
        "connect_timeout": "10s",
        "lb_policy": "LEAST_REQUEST",
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": endpoints}]},
    })
}

/// `tulle-bench configs`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The folder, made if it is not there.
    folder: PathBuf,
    /// Where the backend listens.
    #[arg(long, default_value_t = 18080)]
    backend: u16,
    /// What Tulle and Envoy observe of requests.
    #[arg(long, value_enum, default_value = "logged")]
    observed: Observed,
}

/// Writes every configuration with fixed ports: single hop 18000, pair 18001 (H2) and 18003 (H1).
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    std::fs::create_dir_all(&args.folder)?;
    let folder = args.folder.canonicalize()?;
    let certs = Certs::create(&folder)?;
    let jobs = [
        (Place::Hop, Between::H1, 18000, args.backend),
        (Place::First, Between::H2, 18001, 18002),
        (Place::Second, Between::H2, 18002, args.backend),
        (Place::First, Between::H1, 18003, 18004),
        (Place::Second, Between::H1, 18004, args.backend),
    ];
    for peer in Peer::ALL {
        for (place, between, listen, upstream) in jobs {
            Job { place, between, listen, upstream, certs: &certs, observed: args.observed }
                .write(peer, &folder)?;
        }
    }
    let job = Job {
        place: Place::Hop,
        between: Between::H1,
        listen: 18000,
        upstream: args.backend,
        certs: &certs,
        observed: Observed::Logged,
    };
    std::fs::write(folder.join("10k-clusters.json"), serde_json::to_string(&job.bootstrap(10_000))?)?;
    std::fs::write(folder.join("empty.json"), serde_json::to_string(&empty())?)?;
    Ok(())
}
