//! Rules about `DestinationRule`.

use std::collections::HashSet;

use super::common::{self, duration, duration_or_zero, export_to, not_negative, whole_percent};
use super::load_balancer::check_balancer;
use super::names;
use super::retry::retry;
use super::rules::Rules;
use crate::istio::{
    ClientTlsMode, ClientTlsSettings, ConnectionKeepalive, ConnectionPoolSettings, DestinationRule,
    H2UpgradePolicy, HttpSettings, LoadBalancerSettings, OutlierDetection, PortTrafficPolicy, Subset,
    TcpSettings, TrafficPolicy, TunnelSettings,
};
use crate::meta::ObjectMeta;
use crate::schema::At;

/// Checks a DestinationRule.
pub(super) fn check(given: &DestinationRule, meta: &ObjectMeta, at: &At<'_>, rules: &mut Rules) {
    let DestinationRule { host, traffic_policy, subsets, export_to: exports, workload_selector } = given;
    rules.check(&at.field("host"), names::wildcard_domain(host));
    if let Some(policy) = traffic_policy {
        check_policy(policy, meta, &at.field("trafficPolicy"), rules);
    }
    let mut seen = HashSet::new();
    for (i, Subset { name, labels, traffic_policy }) in subsets.iter().enumerate() {
        let list = at.field("subsets");
        let here = list.index(i);
        if !seen.insert(name) {
            rules.error(&here.field("name"), format!("there are two subsets named {name}"), "rename one");
        }
        rules.check(&here.field("name"), names::label(name));
        common::labels(labels, &here.field("labels"), rules);
        if let Some(policy) = traffic_policy {
            check_policy(policy, meta, &here.field("trafficPolicy"), rules);
        }
    }
    let list = at.field("exportTo");
    export_to(exports, &meta.namespace, false, &list, rules);
    common::selector(workload_selector.as_ref(), &at.field("workloadSelector"), rules);
    let own = |e: &String| e == "." || *e == meta.namespace;
    if workload_selector.is_some() && !exports.iter().all(own) {
        rules.error(
            &list,
            "a rule with a workloadSelector is for its own namespace only",
            "write [\".\"] or remove it",
        );
    }
}

fn check_policy(policy: &TrafficPolicy, meta: &ObjectMeta, at: &At<'_>, rules: &mut Rules) {
    let TrafficPolicy {
        load_balancer,
        connection_pool,
        outlier_detection,
        tls,
        port_level_settings,
        tunnel,
        proxy_protocol,
        retry_budget,
        retries,
    } = policy;
    if *policy == TrafficPolicy::default() {
        rules.error(at, "says nothing", "give it a setting or remove it");
    }
    blocks(
        load_balancer.as_ref(),
        connection_pool.as_ref(),
        outlier_detection.as_ref(),
        tls.as_ref(),
        meta,
        at,
        rules,
    );
    let list = at.field("portLevelSettings");
    common::at_most(port_level_settings.len(), 4096, &list, rules);
    for (i, settings) in port_level_settings.iter().enumerate() {
        check_port(settings, meta, &list.index(i), rules);
    }
    rules.exclusive(at, &[("tunnel", tunnel.is_some()), ("proxyProtocol", proxy_protocol.is_some())]);
    if let Some(tunnel) = tunnel {
        check_tunnel(tunnel, &at.field("tunnel"), rules);
    }
    if let Some(share) = retry_budget.as_ref().and_then(|b| b.percent).filter(|p| !(0.0..=100.0).contains(p))
    {
        let here = at.field("retryBudget");
        rules.error(&here.field("percent"), format!("must be between 0 and 100 but is {share}"), "");
    }
    retry(retries.as_ref(), &at.field("retries"), rules);
}

fn check_port(settings: &PortTrafficPolicy, meta: &ObjectMeta, at: &At<'_>, rules: &mut Rules) {
    let PortTrafficPolicy { port, load_balancer, connection_pool, outlier_detection, tls } = settings;
    match port {
        Some(port) => common::port(Some(port.number.unwrap_or(0)), &at.field("port").field("number"), rules),
        None => rules.error(&at.field("port"), "is required", "write port: {number: N}"),
    }
    if load_balancer.is_none() && connection_pool.is_none() && outlier_detection.is_none() && tls.is_none() {
        rules.error(at, "says nothing about its port", "give it a setting or remove it");
    }
    blocks(
        load_balancer.as_ref(),
        connection_pool.as_ref(),
        outlier_detection.as_ref(),
        tls.as_ref(),
        meta,
        at,
        rules,
    );
}

fn blocks(
    balancer: Option<&LoadBalancerSettings>,
    pool: Option<&ConnectionPoolSettings>,
    outlier: Option<&OutlierDetection>,
    tls: Option<&ClientTlsSettings>,
    meta: &ObjectMeta,
    at: &At<'_>,
    rules: &mut Rules,
) {
    if let Some(given) = balancer {
        check_balancer(given, outlier.is_some(), &at.field("loadBalancer"), rules);
    }
    check_pool(pool, &at.field("connectionPool"), rules);
    if let Some(given) = outlier {
        check_outlier(given, &at.field("outlierDetection"), rules);
    }
    if let Some(given) = tls {
        check_tls(given, meta, &at.field("tls"), rules);
    }
}

fn check_outlier(given: &OutlierDetection, at: &At<'_>, rules: &mut Rules) {
    let OutlierDetection {
        consecutive_errors,
        split_external_local_origin_errors,
        consecutive_local_origin_failures,
        consecutive_gateway_errors: _,
        consecutive_5xx_errors: _,
        interval,
        base_ejection_time,
        max_ejection_percent,
        min_health_percent,
        outlier_detection_http_error_codes,
    } = given;
    not_negative(*consecutive_errors, &at.field("consecutiveErrors"), rules);
    if split_external_local_origin_errors != &Some(true)
        && consecutive_local_origin_failures.is_some_and(|n| n > 0)
    {
        let message = "needs splitExternalLocalOriginErrors";
        rules.error(
            &at.field("consecutiveLocalOriginFailures"),
            message,
            "write splitExternalLocalOriginErrors: true",
        );
    }
    duration(interval.as_ref(), &at.field("interval"), rules);
    duration(base_ejection_time.as_ref(), &at.field("baseEjectionTime"), rules);
    whole_percent(*max_ejection_percent, &at.field("maxEjectionPercent"), rules);
    whole_percent(*min_health_percent, &at.field("minHealthPercent"), rules);
    for (i, code) in outlier_detection_http_error_codes.iter().enumerate() {
        if !(100..=599).contains(code) {
            let message = format!("must be between 100 and 599 but is {code}");
            rules.error(&at.field("outlierDetectionHttpErrorCodes").index(i), message, "");
        }
    }
}

/// Checks limits of connections and requests.
pub(super) fn check_pool(given: Option<&ConnectionPoolSettings>, at: &At<'_>, rules: &mut Rules) {
    let Some(ConnectionPoolSettings { tcp, http }) = given else { return };
    if tcp.is_none() && http.is_none() {
        rules.error(at, "says nothing", "give tcp or http");
    }
    if let Some(tcp) = tcp {
        check_tcp_pool(tcp, &at.field("tcp"), rules);
    }
    if let Some(http) = http {
        check_http_pool(http, &at.field("http"), rules);
    }
}

fn check_tcp_pool(given: &TcpSettings, at: &At<'_>, rules: &mut Rules) {
    let TcpSettings {
        max_connections,
        connect_timeout,
        tcp_keepalive,
        max_connection_duration,
        idle_timeout,
    } = given;
    not_negative(*max_connections, &at.field("maxConnections"), rules);
    duration(connect_timeout.as_ref(), &at.field("connectTimeout"), rules);
    duration(max_connection_duration.as_ref(), &at.field("maxConnectionDuration"), rules);
    duration_or_zero(idle_timeout.as_ref(), &at.field("idleTimeout"), rules);
    if let Some(keepalive) = tcp_keepalive {
        let here = at.field("tcpKeepalive");
        duration(keepalive.time.as_ref(), &here.field("time"), rules);
        duration(keepalive.interval.as_ref(), &here.field("interval"), rules);
    }
}

fn check_http_pool(given: &HttpSettings, at: &At<'_>, rules: &mut Rules) {
    let HttpSettings {
        http1_max_pending_requests,
        http2_max_requests,
        max_requests_per_connection,
        max_retries,
        idle_timeout,
        h2_upgrade_policy,
        use_client_protocol,
        max_concurrent_streams,
        http2_keep_alive,
    } = given;
    not_negative(*http1_max_pending_requests, &at.field("http1MaxPendingRequests"), rules);
    not_negative(*http2_max_requests, &at.field("http2MaxRequests"), rules);
    let most = 1 << 29;
    if let Some(number) = max_requests_per_connection.filter(|n| !(0..=most).contains(n)) {
        let message = format!("must be between 0 and {most} but is {number}");
        rules.error(&at.field("maxRequestsPerConnection"), message, "");
    }
    not_negative(*max_retries, &at.field("maxRetries"), rules);
    not_negative(*max_concurrent_streams, &at.field("maxConcurrentStreams"), rules);
    duration(idle_timeout.as_ref(), &at.field("idleTimeout"), rules);
    if *h2_upgrade_policy == Some(H2UpgradePolicy::Upgrade) && *use_client_protocol == Some(true) {
        let message = "contradicts h2UpgradePolicy: UPGRADE";
        rules.error(&at.field("useClientProtocol"), message, "keep one of them");
    }
    if let Some(ConnectionKeepalive { interval, timeout }) = http2_keep_alive {
        let here = at.field("http2KeepAlive");
        duration(Some(interval), &here.field("interval"), rules);
        duration(Some(timeout), &here.field("timeout"), rules);
    }
}

fn check_tls(given: &ClientTlsSettings, meta: &ObjectMeta, at: &At<'_>, rules: &mut Rules) {
    let ClientTlsSettings {
        mode,
        client_certificate,
        private_key,
        ca_certificates,
        credential_name,
        subject_alt_names,
        sni: _,
        insecure_skip_verify,
        ca_crl,
    } = given;
    let files = [
        ("clientCertificate", client_certificate),
        ("privateKey", private_key),
        ("caCertificates", ca_certificates),
        ("caCrl", ca_crl),
    ];
    let own = matches!(mode, Some(ClientTlsMode::Simple | ClientTlsMode::Mutual));
    if let Some(reference) = credential_name.strip_prefix("configmap://") {
        rules.check(&at.field("credentialName"), config_map(reference, &meta.namespace));
    }
    let skips = own && *insecure_skip_verify == Some(true);
    if skips && *mode == Some(ClientTlsMode::Simple) && !credential_name.is_empty() {
        let message = "turns off the check that the certificates of credentialName are for";
        rules.error(&at.field("insecureSkipVerify"), message, "remove one of them");
    }
    if skips && !(ca_certificates.is_empty() && subject_alt_names.is_empty()) {
        let message = "turns off the check that caCertificates and subjectAltNames are for";
        rules.error(&at.field("insecureSkipVerify"), message, "remove one of them");
    }
    if own && !credential_name.is_empty() {
        for (field, _) in files.iter().filter(|(_, f)| !f.is_empty()) {
            rules.error(
                &at.field(field),
                "cannot be set together with credentialName",
                "put it into the secret",
            );
        }
        return;
    }
    if *mode == Some(ClientTlsMode::Mutual) {
        for (field, _) in files[..2].iter().filter(|(_, f)| f.is_empty()) {
            rules.error(&at.field(field), "is required for MUTUAL", "give it, or credentialName");
        }
    }
    if *mode == Some(ClientTlsMode::IstioMutual) {
        for (field, _) in files.iter().filter(|(_, f)| !f.is_empty()) {
            rules.warn(
                &at.field(field),
                "has no effect: ISTIO_MUTUAL uses the mesh's certificates",
                "remove it",
            );
        }
    }
}

/// A ConfigMap of certificates, as `NAME` or `NAMESPACE/NAME`: only the rule's own namespace may be named.
fn config_map(reference: &str, own: &str) -> Result<(), String> {
    let (namespace, name) = reference.split_once('/').unwrap_or((own, reference));
    if name.is_empty() || name.contains('/') {
        return Err(format!("\"configmap://{reference}\" is not of the form configmap://[NAMESPACE/]NAME"));
    }
    if namespace != own {
        return Err(format!("the ConfigMap must be in the rule's own namespace {own}, not in {namespace}"));
    }
    Ok(())
}

fn check_tunnel(given: &TunnelSettings, at: &At<'_>, rules: &mut Rules) {
    let TunnelSettings { protocol, target_host, target_port } = given;
    if !matches!(protocol.as_str(), "" | "CONNECT" | "POST") {
        rules.error(&at.field("protocol"), format!("must be CONNECT or POST but is {protocol:?}"), "");
    }
    if !names::is_ip(target_host) {
        rules.check(&at.field("targetHost"), names::fqdn(target_host));
    }
    common::port(Some(*target_port), &at.field("targetPort"), rules);
}
