//! Rules about the settings of the whole mesh: the ConfigMap `istio` and `IstioOperator`.

use std::collections::HashSet;
use std::net::IpAddr;

use super::common::{duration, duration_or_zero};
use super::destination_rule::check_pool;
use super::names;
use super::proxy_config::is_image_type;
use super::retry::retry;
use super::rules::Rules;
use crate::kubernetes::ConfigMap;
use crate::mesh::{
    AccessLogEncoding, ExtensionProviderKind, IstioOperator, MeshConfig, MeshNetworks, MeshProxyConfig,
    NetworkEndpointSource, NetworkGatewaySource, read_config_map,
};
use crate::schema::At;

/// What is said of settings of another revision.
const OTHER: &str = "has no effect: the settings of the mesh are those of the ConfigMap istio in the control plane's namespace";

/// Checks the texts of the ConfigMap `istio`.
pub(super) fn check_config_map(given: &ConfigMap, name: &str, rules: &mut Rules) {
    let data = At::ROOT.field("data");
    for key in ["mesh", "meshNetworks"].into_iter().filter(|k| given.data.contains_key(*k) && name != "istio")
    {
        rules.warn(&data.field(key), OTHER, "write them there");
    }
    let (settings, problems) = read_config_map(given);
    rules.extend(problems);
    if let Some(mesh) = &settings.mesh {
        check(mesh, &data.field("mesh"), rules);
    }
    if let Some(networks) = &settings.networks {
        check_networks(networks, &data.field("meshNetworks"), rules);
    }
}

/// Checks an IstioOperator.
pub(super) fn check_operator(given: &IstioOperator, at: &At<'_>, rules: &mut Rules) {
    if let Some(mesh) = &given.mesh_config {
        check(mesh, &at.field("meshConfig"), rules);
    }
}

fn check(given: &MeshConfig, at: &At<'_>, rules: &mut Rules) {
    for (field, port) in [
        ("proxyListenPort", given.proxy_listen_port),
        ("proxyInboundListenPort", given.proxy_inbound_listen_port),
        ("proxyHttpPort", given.proxy_http_port.filter(|p| *p != 0)),
    ] {
        if let Some(port) = port {
            rules.check(&at.field(field), names::port(port.into()));
        }
    }
    duration(given.connect_timeout.as_ref(), &at.field("connectTimeout"), rules);
    duration_or_zero(given.protocol_detection_timeout.as_ref(), &at.field("protocolDetectionTimeout"), rules);
    duration(given.dns_refresh_rate.as_ref(), &at.field("dnsRefreshRate"), rules);
    retry(given.default_http_retry_policy.as_ref(), &at.field("defaultHttpRetryPolicy"), rules);
    if !given.trust_domain.is_empty() {
        rules.check(&at.field("trustDomain"), names::fqdn(&given.trust_domain));
    }
    if !given.root_namespace.is_empty() {
        rules.check(&at.field("rootNamespace"), names::dns_label(&given.root_namespace));
    }
    if let Some(policy) = &given.default_traffic_policy {
        check_pool(
            policy.connection_pool.as_ref(),
            &at.field("defaultTrafficPolicy").field("connectionPool"),
            rules,
        );
    }
    if let Some(proxy) = &given.default_config {
        check_proxy(proxy, &at.field("defaultConfig"), rules);
    }
    check_tls(given, at, rules);
    check_log(given, at, rules);
    check_providers(given, at, rules);
}

/// What Istio, too, does not use.
fn check_tls(given: &MeshConfig, at: &At<'_>, rules: &mut Rules) {
    if given.mesh_mtls.as_ref().is_some_and(|t| !t.ecdh_curves.is_empty()) {
        let here = at.field("meshMTLS");
        rules.warn(&here.field("ecdhCurves"), "has no effect: curves are for tlsDefaults", "");
    }
    if given.tls_defaults.as_ref().is_some_and(|t| t.min_protocol_version.is_some()) {
        let here = at.field("tlsDefaults");
        let message = "has no effect: clients speak TLS 1.2 and 1.3 with what is outside of the mesh";
        rules.warn(&here.field("minProtocolVersion"), message, "");
    }
}

fn check_log(given: &MeshConfig, at: &At<'_>, rules: &mut Rules) {
    let json = given.access_log_encoding == Some(AccessLogEncoding::Json);
    if json && !given.access_log_format.is_empty() {
        let read =
            serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(&given.access_log_format);
        if let Err(error) = read {
            let message = format!("must be a JSON object, because the encoding is JSON: {error}");
            rules.error(&at.field("accessLogFormat"), message, "");
        }
    }
}

fn check_proxy(given: &MeshProxyConfig, at: &At<'_>, rules: &mut Rules) {
    for (field, port) in [("proxyAdminPort", given.proxy_admin_port), ("statusPort", given.status_port)] {
        if let Some(port) = port.filter(|p| *p != 0) {
            rules.check(&at.field(field), names::port(port.into()));
        }
    }
    duration_or_zero(given.drain_duration.as_ref(), &at.field("drainDuration"), rules);
    duration_or_zero(given.termination_drain_duration.as_ref(), &at.field("terminationDrainDuration"), rules);
    super::common::not_negative(given.concurrency, &at.field("concurrency"), rules);
    let share = given.tracing.as_ref().and_then(|t| t.sampling);
    if let Some(share) = share.filter(|s| !(0.0..=100.0).contains(s)) {
        let message = format!("must be between 0 and 100 but is {share}");
        rules.error(&at.field("tracing").field("sampling"), message, "");
    }
    if let Some(image) = given.image.as_ref().filter(|i| !is_image_type(&i.image_type)) {
        let message = format!("must be default, debug or distroless but is {:?}", image.image_type);
        rules.error(&at.field("image").field("imageType"), message, "");
    }
}

fn check_providers(given: &MeshConfig, at: &At<'_>, rules: &mut Rules) {
    let list = at.field("extensionProviders");
    let mut seen = HashSet::new();
    for (i, provider) in given.extension_providers.iter().enumerate() {
        let here = list.index(i);
        if !seen.insert(&provider.name) {
            rules.error(&here.field("name"), format!("{:?} is given twice", provider.name), "keep one");
        }
        let Some(kind) = &provider.provider else {
            rules.error(&here, "says nothing about what it does", "give one of the providers");
            continue;
        };
        let (field, port) = match kind {
            ExtensionProviderKind::EnvoyExtAuthzHttp(p) => ("envoyExtAuthzHttp", p.port),
            ExtensionProviderKind::EnvoyExtAuthzGrpc(p) => ("envoyExtAuthzGrpc", p.port),
            ExtensionProviderKind::Zipkin(p) => ("zipkin", p.port),
            ExtensionProviderKind::Lightstep(p) => ("lightstep", p.port),
            ExtensionProviderKind::Datadog(p) => ("datadog", p.port),
            ExtensionProviderKind::Opencensus(p) => ("opencensus", p.port),
            ExtensionProviderKind::Skywalking(p) => ("skywalking", p.port),
            ExtensionProviderKind::Opentelemetry(p) => ("opentelemetry", p.port),
            ExtensionProviderKind::EnvoyHttpAls(p) => ("envoyHttpAls", p.port),
            ExtensionProviderKind::EnvoyTcpAls(p) => ("envoyTcpAls", p.port),
            ExtensionProviderKind::EnvoyOtelAls(p) => ("envoyOtelAls", p.port),
            ExtensionProviderKind::Sds(p) => ("sds", p.port),
            ExtensionProviderKind::Stackdriver(_)
            | ExtensionProviderKind::Prometheus(_)
            | ExtensionProviderKind::EnvoyFileAccessLog(_) => continue,
        };
        rules.check(&here.field(field).field("port"), names::port(port.into()));
    }
}

fn check_networks(given: &MeshNetworks, at: &At<'_>, rules: &mut Rules) {
    for (name, network) in &given.networks {
        let list = at.field("networks");
        let here = list.field(name);
        for (i, endpoints) in network.endpoints.iter().enumerate() {
            let place = here.field("endpoints");
            let place = place.index(i);
            match &endpoints.ne {
                Some(NetworkEndpointSource::FromCidr(block)) => {
                    rules.check(&place.field("fromCidr"), names::ip_or_cidr(block));
                }
                Some(NetworkEndpointSource::FromRegistry(_)) => {}
                None => rules.error(&place, "names no endpoints", "give fromCidr or fromRegistry"),
            }
        }
        for (i, gateway) in network.gateways.iter().enumerate() {
            let place = here.field("gateways");
            let place = place.index(i);
            match &gateway.gw {
                Some(NetworkGatewaySource::Address(address)) if address.parse::<IpAddr>().is_err() => {
                    let what = format!("{address:?} is no IP address, so the network is not reached there");
                    rules.error(&place.field("address"), what, "write its address: names are not looked up");
                }
                Some(_) => {}
                None => rules.error(&place, "names no gateway", "give address or registryServiceName"),
            }
            rules.check(&place.field("port"), names::port(gateway.port.into()));
        }
    }
}
