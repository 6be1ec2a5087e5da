//! DestinationRule to destination policy.

use tulle_api::istio as api;
use tulle_base::Selector;

use super::cx::{Cx, count, limit};
use super::virtual_service::retry;
use crate::config::MeshConfig;
use crate::destination::{
    Algorithm, ClientTls, ClientTlsMode, ConnectionPool, ConsistentHash, DestinationRule, HashKey, HashTable,
    Keepalive, LoadBalancer, LocalityLb, Outlier, PortPolicy, ProxyProtocol, RetryBudget, Subset,
    TrafficPolicy, Tunnel, Warmup,
    locality::{Distribute, Failover, LocalityPattern, PriorityLabel},
};
use crate::visibility::ExportTo;

/// The policy of a DestinationRule.
pub(super) fn rule(cx: &mut Cx<'_>, spec: &api::DestinationRule, mesh: &MeshConfig) -> DestinationRule {
    let api::DestinationRule { host, traffic_policy, subsets, export_to, workload_selector } = spec;
    DestinationRule {
        meta: cx.meta.clone(),
        host: cx.fqdn(host),
        export_to: ExportTo::parse_or(
            export_to.iter().map(String::as_str),
            &mesh.destination_export_to,
            cx.meta.namespace(),
        ),
        exports_by_default: export_to.is_empty(),
        workload_selector: workload_selector
            .as_ref()
            .map(|api::WorkloadSelector { match_labels }| Selector(match_labels.clone()))
            .filter(|s| !s.is_empty()),
        policy: traffic_policy.as_ref().map(|p| policy(cx, "spec.trafficPolicy", p)).unwrap_or_default(),
        subsets: subsets
            .iter()
            .enumerate()
            .map(|(i, api::Subset { name, labels, traffic_policy })| Subset {
                name: name.clone(),
                labels: labels.clone(),
                policy: traffic_policy
                    .as_ref()
                    .map(|p| policy(cx, &format!("spec.subsets[{i}].trafficPolicy"), p))
                    .unwrap_or_default(),
            })
            .collect(),
    }
}

fn policy(cx: &mut Cx<'_>, path: &str, p: &api::TrafficPolicy) -> TrafficPolicy {
    let api::TrafficPolicy {
        load_balancer,
        connection_pool,
        outlier_detection,
        tls,
        port_level_settings,
        tunnel,
        proxy_protocol,
        retry_budget,
        retries,
    } = p;
    let ports = port_level_settings.iter().enumerate().filter_map(|(i, p)| {
        let path = format!("{path}.portLevelSettings[{i}]");
        let api::PortTrafficPolicy { port, load_balancer, connection_pool, outlier_detection, tls } = p;
        let number = port.as_ref().and_then(|api::PortSelector { number }| *number);
        let number = cx.port(number, &format!("{path}.port.number"))?;
        Some((
            number,
            PortPolicy {
                load_balancer: load_balancer.as_ref().map(|l| balancer(cx, &path, l)),
                connection_pool: connection_pool.as_ref().map(pool),
                outlier: outlier_detection.as_ref().map(outlier),
                tls: tls.as_ref().map(client_tls),
            },
        ))
    });
    let ports = ports.collect();
    TrafficPolicy {
        load_balancer: load_balancer.as_ref().map(|l| balancer(cx, path, l)),
        connection_pool: connection_pool.as_ref().map(pool),
        outlier: outlier_detection.as_ref().map(outlier),
        tls: tls.as_ref().map(client_tls),
        tunnel: tunnel.as_ref().and_then(|t| self::tunnel(cx, path, t)),
        proxy_protocol: proxy_protocol.as_ref().map(|api::ProxyProtocol { version }| match version {
            Some(api::ProxyProtocolVersion::V2) => ProxyProtocol::V2,
            Some(api::ProxyProtocolVersion::V1) | None => ProxyProtocol::V1,
        }),
        retries: retries.as_ref().map(retry),
        retry_budget: retry_budget.as_ref().map(budget),
        ports,
    }
}

fn tunnel(cx: &mut Cx<'_>, path: &str, t: &api::TunnelSettings) -> Option<Tunnel> {
    let api::TunnelSettings { protocol, target_host, target_port } = t;
    let post = match protocol.to_ascii_uppercase().as_str() {
        "" | "CONNECT" => false,
        "POST" => true,
        _ => {
            let message = format!("{protocol:?} is no way to ask for a tunnel, so that there is none");
            cx.warn(&format!("{path}.tunnel.protocol"), message, "write CONNECT or POST");
            return None;
        }
    };
    let port = cx.port(Some(*target_port), &format!("{path}.tunnel.targetPort"))?;
    // As addresses are written: IPv6 in brackets.
    let target = if target_host.contains(':') {
        format!("[{target_host}]:{port}")
    } else {
        format!("{target_host}:{port}")
    };
    Some(Tunnel { post, target })
}

fn budget(b: &api::RetryBudget) -> RetryBudget {
    let api::RetryBudget { percent, min_retry_concurrency, budget_interval } = b;
    RetryBudget {
        percent: percent.unwrap_or(20.0),
        min_concurrency: min_retry_concurrency.unwrap_or(3),
        interval: budget_interval.as_ref().map(|d| d.get()).unwrap_or_default(),
    }
}

fn balancer(cx: &mut Cx<'_>, path: &str, l: &api::LoadBalancerSettings) -> LoadBalancer {
    let api::LoadBalancerSettings {
        locality_lb_setting,
        zone_aware_lb_setting,
        warmup_duration_secs,
        warmup,
        lb_policy,
    } = l;
    let path = format!("{path}.loadBalancer");
    cx.not_applied(
        zone_aware_lb_setting.is_some(),
        &format!("{path}.zoneAwareLbSetting"),
        "how clients spread over zones is not known; localityLbSetting prefers near endpoints",
    );
    let algorithm = match lb_policy {
        Some(api::LbPolicy::Simple(simple)) => match simple {
            api::SimpleLb::Unspecified => None,
            api::SimpleLb::LeastConn | api::SimpleLb::LeastRequest => Some(Algorithm::LeastRequest),
            api::SimpleLb::Random => Some(Algorithm::Random),
            api::SimpleLb::Passthrough => Some(Algorithm::Passthrough),
            api::SimpleLb::RoundRobin => Some(Algorithm::RoundRobin),
        },
        Some(api::LbPolicy::ConsistentHash(hash)) => consistent(hash).map(Algorithm::Consistent),
        None => None,
    };
    let warmup = match (warmup, warmup_duration_secs) {
        (Some(api::WarmupConfiguration { duration, minimum_percent, aggression }), _) => {
            Some(Warmup { duration: duration.get(), min_percent: *minimum_percent, aggression: *aggression })
        }
        (None, Some(d)) => Some(Warmup { duration: d.get(), min_percent: None, aggression: None }),
        (None, None) => None,
    };
    LoadBalancer { algorithm, warmup, locality: locality_lb_setting.as_ref().map(locality) }
}

pub(super) fn locality(l: &api::LocalityLoadBalancerSetting) -> LocalityLb {
    let api::LocalityLoadBalancerSetting { distribute, failover, failover_priority, enabled } = l;
    let share = |(to, share): (&String, &u32)| (LocalityPattern::parse(to), *share);
    LocalityLb {
        enabled: enabled.unwrap_or(true),
        distribute: distribute
            .iter()
            .map(|api::LocalityDistribute { from, to }| Distribute {
                from: LocalityPattern::parse(from),
                to: to.iter().map(share).collect(),
            })
            .collect(),
        failover: failover
            .iter()
            .map(|api::LocalityFailover { from, to }| Failover { from: from.clone(), to: to.clone() })
            .collect(),
        failover_priority: failover_priority.iter().map(|label| PriorityLabel::parse(label)).collect(),
    }
}

fn consistent(hash: &api::ConsistentHashLb) -> Option<ConsistentHash> {
    let api::ConsistentHashLb { minimum_ring_size, hash_key, hash_algorithm } = hash;
    let key = match hash_key.as_ref()? {
        api::HashKey::HttpHeaderName(name) => HashKey::Header(name.clone()),
        api::HashKey::HttpCookie(api::HttpCookie { name, path, ttl, attributes }) => HashKey::Cookie {
            name: name.clone(),
            path: path.clone(),
            ttl: ttl.as_ref().map(|t| t.get()),
            attributes: attributes
                .iter()
                .map(|api::CookieAttribute { name, value }| (name.clone(), value.clone()))
                .collect(),
        },
        api::HashKey::UseSourceIp(true) => HashKey::SourceIp,
        api::HashKey::UseSourceIp(false) => return None,
        api::HashKey::HttpQueryParameterName(name) => HashKey::QueryParameter(name.clone()),
    };
    let table = match hash_algorithm {
        Some(api::HashAlgorithm::RingHash(api::RingHash { minimum_ring_size })) => {
            HashTable::Ring(*minimum_ring_size)
        }
        Some(api::HashAlgorithm::Maglev(api::MagLev { table_size })) => HashTable::Maglev(*table_size),
        None => HashTable::Ring(*minimum_ring_size),
    };
    Some(ConsistentHash { key, table })
}

pub(super) fn pool(p: &api::ConnectionPoolSettings) -> ConnectionPool {
    let api::ConnectionPoolSettings { tcp, http } = p;
    let mut out = ConnectionPool::default();
    if let Some(api::TcpSettings {
        max_connections,
        connect_timeout,
        tcp_keepalive,
        max_connection_duration,
        idle_timeout,
    }) = tcp
    {
        out.max_connections = limit(*max_connections);
        out.connect_timeout = connect_timeout.as_ref().map(|d| d.get());
        out.max_connection_duration = max_connection_duration.as_ref().map(|d| d.get());
        out.tcp_idle_timeout = idle_timeout.as_ref().map(|d| d.get());
        out.tcp_keepalive = tcp_keepalive.as_ref().map(keepalive);
    }
    if let Some(http) = http {
        http_pool(&mut out, http);
    }
    out
}

pub(super) fn keepalive(k: &api::TcpKeepalive) -> Keepalive {
    let api::TcpKeepalive { probes, time, interval } = k;
    Keepalive {
        probes: *probes,
        time: time.as_ref().map(|d| d.get()),
        interval: interval.as_ref().map(|d| d.get()),
    }
}

fn http_pool(out: &mut ConnectionPool, http: &api::HttpSettings) {
    let api::HttpSettings {
        http1_max_pending_requests,
        http2_max_requests,
        max_requests_per_connection,
        max_retries,
        idle_timeout,
        h2_upgrade_policy,
        use_client_protocol,
        max_concurrent_streams,
        http2_keep_alive,
    } = http;
    out.http1_max_pending = limit(*http1_max_pending_requests);
    out.http2_max_requests = limit(*http2_max_requests);
    out.max_requests_per_connection = limit(*max_requests_per_connection);
    out.max_retries = limit(*max_retries);
    out.http_idle_timeout = idle_timeout.as_ref().map(|d| d.get());
    out.h2_upgrade = match h2_upgrade_policy {
        Some(api::H2UpgradePolicy::Upgrade) => Some(true),
        Some(api::H2UpgradePolicy::DoNotUpgrade) => Some(false),
        Some(api::H2UpgradePolicy::Default) | None => None,
    };
    out.use_client_protocol = use_client_protocol.unwrap_or(false);
    out.max_concurrent_streams = limit(*max_concurrent_streams);
    out.http2_keepalive = http2_keep_alive
        .as_ref()
        .map(|api::ConnectionKeepalive { interval, timeout }| (Some(interval.get()), Some(timeout.get())));
}

pub(super) fn outlier(o: &api::OutlierDetection) -> Outlier {
    let api::OutlierDetection {
        consecutive_errors,
        split_external_local_origin_errors,
        consecutive_local_origin_failures,
        consecutive_gateway_errors,
        consecutive_5xx_errors,
        interval,
        base_ejection_time,
        max_ejection_percent,
        min_health_percent,
        outlier_detection_http_error_codes,
    } = o;
    // `consecutiveErrors` means both counters here (traps, "Where we differ"); one that is written wins over it.
    let both = count(*consecutive_errors).filter(|n| *n > 0);
    Outlier {
        consecutive_5xx: consecutive_5xx_errors.or(both),
        consecutive_gateway: consecutive_gateway_errors.or(both),
        split_external_local: split_external_local_origin_errors.unwrap_or(false),
        consecutive_local: *consecutive_local_origin_failures,
        interval: interval.as_ref().map(|d| d.get()),
        base_ejection: base_ejection_time.as_ref().map(|d| d.get()),
        max_ejection_percent: limit(*max_ejection_percent),
        error_codes: outlier_detection_http_error_codes
            .iter()
            .filter_map(|c| u16::try_from(*c).ok())
            .collect(),
        min_health_percent: count(*min_health_percent).unwrap_or(0),
    }
}

fn client_tls(t: &api::ClientTlsSettings) -> ClientTls {
    let api::ClientTlsSettings {
        mode,
        client_certificate,
        private_key,
        ca_certificates,
        credential_name,
        subject_alt_names,
        sni,
        insecure_skip_verify,
        ca_crl,
    } = t;
    ClientTls {
        authorities: String::new(),
        mode: match mode {
            Some(api::ClientTlsMode::Disable) | None => ClientTlsMode::Disable,
            Some(api::ClientTlsMode::Simple) => ClientTlsMode::Simple,
            Some(api::ClientTlsMode::Mutual) => ClientTlsMode::Mutual,
            Some(api::ClientTlsMode::IstioMutual) => ClientTlsMode::IstioMutual,
        },
        sni: sni.clone(),
        subject_alt_names: subject_alt_names.clone(),
        ca_certificates: ca_certificates.clone(),
        ca_crl: ca_crl.clone(),
        client_certificate: client_certificate.clone(),
        private_key: private_key.clone(),
        client_credential: String::new(),
        credential_name: credential_name.clone(),
        insecure_skip_verify: insecure_skip_verify.unwrap_or(false),
    }
}
