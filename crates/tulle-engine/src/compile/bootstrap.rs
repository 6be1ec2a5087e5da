//! The bootstrap.

use std::sync::Arc;
use std::time::Duration;

use tulle_proto::envoy::{bootstrap as pb, core, google, metrics};

use super::context::{At, Context, UNSUPPORTED};
use super::value::{api_version, fields, text};
use super::{access_log, cluster, listener, net, runtime, tls};
use crate::runtime::bootstrap::{Admin, Bootstrap, ConfigSource, DynamicResources, Node, XdsSource};

const NO_STATS: &str = "statistics are those of the metric contract";

/// Names every field: those that [`bootstrap`] does not read are refused or noted here.
fn account(cx: &mut Context<'_>, at: &At<'_>, message: &pb::Bootstrap) {
    let pb::Bootstrap {
        node: _,
        node_context_params,
        static_resources: _,
        dynamic_resources: _,
        cluster_manager: _,
        hds_config,
        flags_path,
        stats_sinks,
        deferred_stat_options,
        stats_config: _,
        stats_flush_interval: _,
        watchdog,
        watchdogs,
        tracing,
        layered_runtime: _,
        admin: _,
        overload_manager,
        enable_dispatcher_stats,
        header_prefix: _,
        stats_server_version_override,
        use_tcp_for_dns_lookups,
        dns_resolution_config,
        typed_dns_resolver_config,
        bootstrap_extensions,
        fatal_actions,
        config_sources,
        default_config_source,
        default_socket_interface,
        certificate_provider_instances,
        inline_headers,
        perf_tracing_file_path,
        default_regex_engine,
        xds_delegate_extension,
        xds_config_tracker_extension,
        listener_manager,
        application_log_config,
        grpc_async_client_manager_config,
        memory_allocator_manager,
        enable_worker_cpu_affinity,
        stats_flush,
        stats_eviction,
    } = message;
    refuse!(cx, at,
        hds_config: "health discovery is not supported",
        config_sources: UNSUPPORTED,
        default_config_source: UNSUPPORTED,
        certificate_provider_instances: UNSUPPORTED,
        xds_delegate_extension: UNSUPPORTED,
        node_context_params: UNSUPPORTED,
    );
    no_effect!(cx, at,
        flags_path: "there are no flags",
        stats_sinks: "statistics are scraped, not pushed",
        deferred_stat_options: NO_STATS,
        watchdog: "workers do not block",
        watchdogs: "workers do not block",
        tracing: "spans are not exported yet",
        overload_manager: "every connection and buffer has a limit of its own; the number of connections is limited by layered_runtime",
        enable_dispatcher_stats: NO_STATS,
        stats_server_version_override: NO_STATS,
        use_tcp_for_dns_lookups: "the system's resolvers are asked",
        dns_resolution_config: "the system's resolvers are asked",
        typed_dns_resolver_config: "the system's resolvers are asked",
        bootstrap_extensions: "there are no such extensions here",
        fatal_actions: "a fatal error ends the process",
        default_socket_interface: "there is one kind of sockets",
        inline_headers: "known headers are built in",
        perf_tracing_file_path: "there is no such trace",
        default_regex_engine: "there is one engine",
        xds_config_tracker_extension: "changes are in the log",
        listener_manager: "there is one listener manager",
        application_log_config: "the log has one format",
        grpc_async_client_manager_config: "control channels are kept open",
        memory_allocator_manager: "the allocator gives memory back by itself",
        enable_worker_cpu_affinity: "the kernel places workers",
        stats_flush: NO_STATS,
        stats_eviction: NO_STATS,
    );
}

pub(super) fn bootstrap(cx: &mut Context<'_>, at: &At<'_>, message: &pb::Bootstrap) -> Option<Bootstrap> {
    account(cx, at, message);
    if !message.header_prefix.is_empty() && &message.header_prefix != "x-envoy" {
        cx.refuse(&at.field("header_prefix"), "only x-envoy is supported");
    }
    let node = match &message.node {
        Some(message) => self::node(cx, &at.field("node"), message),
        None => Node::default(),
    };
    let stats_tags = stats_tags(cx, &at.field("stats_config"), message.stats_config.as_ref());
    let local_cluster = manager(cx, &at.field("cluster_manager"), message.cluster_manager.as_ref());
    let dynamic = match &message.dynamic_resources {
        Some(message) => self::dynamic(cx, &at.field("dynamic_resources"), message),
        None => DynamicResources::default(),
    };
    let admin = message.admin.as_ref().and_then(|message| self::admin(cx, &at.field("admin"), message));
    let mut out = Bootstrap {
        node,
        listeners: Vec::new(),
        clusters: Vec::new(),
        secrets: Vec::new(),
        dynamic,
        admin,
        stats_flush_interval: match &message.stats_flush_interval {
            Some(_) => {
                cx.positive(&at.field("stats_flush_interval"), message.stats_flush_interval.as_ref())?
            }
            None => Duration::from_secs(5),
        },
        stats_tags,
        header_prefix: text("x-envoy"),
        local_cluster,
        limits: runtime::limits(cx, &at.field("layered_runtime"), message.layered_runtime.as_ref()),
    };
    if let Some(message) = &message.static_resources {
        statics(cx, &at.field("static_resources"), message, &mut out);
    }
    Some(out)
}

fn statics(cx: &mut Context<'_>, at: &At<'_>, message: &pb::bootstrap::StaticResources, out: &mut Bootstrap) {
    let pb::bootstrap::StaticResources { listeners, clusters, secrets } = message;
    let list_at = at.field("listeners");
    for (i, message) in listeners.iter().enumerate() {
        let at = list_at.index(i);
        out.listeners.extend(listener::listener(cx, &at, message).map(Arc::new));
    }
    let list_at = at.field("clusters");
    let mut names = std::collections::HashSet::new();
    for (i, message) in clusters.iter().enumerate() {
        let at = list_at.index(i);
        if !names.insert(&message.name) {
            cx.refuse(&at.field("name"), format!("{:?} is there twice", message.name));
        }
        out.clusters.extend(cluster::cluster(cx, &at, message).map(Arc::new));
    }
    let list_at = at.field("secrets");
    for (i, message) in secrets.iter().enumerate() {
        out.secrets.extend(tls::secret(cx, &list_at.index(i), message));
    }
}

fn node(cx: &mut Context<'_>, at: &At<'_>, message: &core::Node) -> Node {
    let core::Node {
        id,
        cluster,
        metadata,
        dynamic_parameters,
        locality,
        user_agent_name,
        extensions,
        client_features,
        listening_addresses,
        user_agent_version_type,
    } = message;
    no_effect!(cx, at,
        dynamic_parameters: "resources are not selected by context parameters",
        user_agent_name: "the proxy names itself",
        extensions: "the proxy lists its own",
        client_features: "the proxy lists its own",
        listening_addresses: "the proxy lists none",
        user_agent_version_type: "the proxy names itself",
    );
    let locality = match locality {
        Some(core::Locality { region, zone, sub_zone }) => {
            tulle_base::Locality { region: region.clone(), zone: zone.clone(), sub_zone: sub_zone.clone() }
        }
        None => tulle_base::Locality::default(),
    };
    let metadata = metadata.as_ref().map(|m| fields(cx, &at.field("metadata"), m)).unwrap_or_default();
    Node { id: text(id), cluster: text(cluster), metadata, locality }
}

fn stats_tags(
    cx: &mut Context<'_>,
    at: &At<'_>,
    message: Option<&metrics::StatsConfig>,
) -> Vec<(Arc<str>, Arc<str>)> {
    use metrics::tag_specifier::TagValue;
    let Some(metrics::StatsConfig {
        stats_tags,
        use_all_default_tags,
        stats_matcher,
        histogram_bucket_settings,
        allow_default_tag_overrides,
    }) = message
    else {
        return Vec::new();
    };
    no_effect!(cx, at,
        use_all_default_tags: NO_STATS,
        stats_matcher: NO_STATS,
        histogram_bucket_settings: NO_STATS,
        allow_default_tag_overrides: NO_STATS,
    );
    let list_at = at.field("stats_tags");
    let mut tags = Vec::new();
    for (i, metrics::TagSpecifier { tag_name, tag_value }) in stats_tags.iter().enumerate() {
        match tag_value {
            Some(TagValue::FixedValue(value)) => tags.push((text(tag_name), text(value))),
            Some(TagValue::Regex(_)) | None => cx.note(&list_at.index(i), NO_STATS),
        }
    }
    tags
}

fn manager(cx: &mut Context<'_>, at: &At<'_>, message: Option<&pb::ClusterManager>) -> Arc<str> {
    let Some(pb::ClusterManager {
        local_cluster_name,
        outlier_detection,
        upstream_bind_config,
        load_stats_config,
        enable_deferred_cluster_creation,
    }) = message
    else {
        return text("");
    };
    refuse!(cx, at, upstream_bind_config: "is not supported: give it to each cluster");
    no_effect!(cx, at,
        outlier_detection: "ejections are in the log and in the metrics",
        load_stats_config: "load is not reported",
        enable_deferred_cluster_creation: "a cluster costs nothing until it is used",
    );
    text(local_cluster_name)
}

fn dynamic(cx: &mut Context<'_>, at: &At<'_>, message: &pb::bootstrap::DynamicResources) -> DynamicResources {
    let pb::bootstrap::DynamicResources {
        lds_config,
        lds_resources_locator,
        cds_config,
        cds_resources_locator,
        ads_config,
    } = message;
    refuse!(cx, at, lds_resources_locator: UNSUPPORTED, cds_resources_locator: UNSUPPORTED);
    let ads = ads_config.as_ref().and_then(|message| api(cx, &at.field("ads_config"), message));
    let lds = lds_config.as_ref().and_then(|message| source(cx, &at.field("lds_config"), message));
    let cds = cds_config.as_ref().and_then(|message| source(cx, &at.field("cds_config"), message));
    let asks_ads = |source: &Option<ConfigSource>| matches!(source, Some(ConfigSource::Ads));
    if ads_config.is_none() && (asks_ads(&lds) || asks_ads(&cds)) {
        cx.refuse(&at.field("ads_config"), "is required: lds_config or cds_config asks for ads");
    }
    DynamicResources { ads, lds, cds }
}

fn source(cx: &mut Context<'_>, at: &At<'_>, message: &core::ConfigSource) -> Option<ConfigSource> {
    use core::config_source::ConfigSourceSpecifier as Spec;
    let core::ConfigSource {
        authorities,
        initial_fetch_timeout,
        resource_api_version,
        config_source_specifier,
    } = message;
    refuse!(cx, at, authorities: UNSUPPORTED);
    api_version(cx, &at.field("resource_api_version"), *resource_api_version);
    let initial = initial_fetch(cx, &at.field("initial_fetch_timeout"), initial_fetch_timeout.as_ref());
    match config_source_specifier {
        Some(Spec::Ads(core::AggregatedConfigSource {})) => Some(ConfigSource::Ads),
        Some(Spec::ApiConfigSource(message)) => {
            let source = api(cx, &at.field("api_config_source"), message)?;
            Some(ConfigSource::Api(XdsSource { initial_fetch_timeout: initial, ..source }))
        }
        Some(Spec::Path(path)) => Some(ConfigSource::File(text(path))),
        Some(Spec::PathConfigSource(core::PathConfigSource { path, watched_directory, poll_interval })) => {
            let at = at.field("path_config_source");
            no_effect!(cx, at,
                watched_directory: "the file itself is watched",
                poll_interval: "the file is watched, not polled",
            );
            Some(ConfigSource::File(text(path)))
        }
        Some(Spec::Self_(_)) | None => {
            cx.refuse(at, "needs ads, api_config_source or path_config_source");
            None
        }
    }
}

/// How long a first answer may take: 15 s unless said otherwise, zero for ever.
fn initial_fetch(cx: &mut Context<'_>, at: &At<'_>, value: Option<&google::Duration>) -> Option<Duration> {
    cx.limit(at, value, Some(Duration::from_secs(15)))
}

fn api(cx: &mut Context<'_>, at: &At<'_>, message: &core::ApiConfigSource) -> Option<XdsSource> {
    use core::api_config_source::ApiType;
    use core::grpc_service::TargetSpecifier;
    let core::ApiConfigSource {
        api_type,
        transport_api_version,
        cluster_names,
        grpc_services,
        refresh_delay,
        request_timeout,
        rate_limit_settings,
        set_node_on_first_message_only,
        config_validators,
    } = message;
    refuse!(cx, at, cluster_names: "is not supported: use grpc_services", config_validators: UNSUPPORTED);
    no_effect!(cx, at,
        refresh_delay: "streams are not polled",
        request_timeout: "streams have no timeout",
        rate_limit_settings: "requests follow answers, so they are as many as the server makes them",
        set_node_on_first_message_only: "the node is sent on the first message of a stream",
    );
    api_version(cx, &at.field("transport_api_version"), *transport_api_version);
    let type_at = at.field("api_type");
    let delta = match cx.choice(&type_at, *api_type)? {
        ApiType::Grpc | ApiType::AggregatedGrpc => false,
        ApiType::DeltaGrpc | ApiType::AggregatedDeltaGrpc => true,
        ApiType::Rest | ApiType::DeprecatedAndUnavailableDoNotUse => {
            cx.refuse(&type_at, "only GRPC and DELTA_GRPC are supported");
            return None;
        }
    };
    let services_at = at.field("grpc_services");
    let [service] = grpc_services.as_slice() else {
        cx.refuse(&services_at, "needs exactly one");
        return None;
    };
    let at = services_at.index(0);
    let core::GrpcService { timeout, initial_metadata, retry_policy, target_specifier } = service;
    no_effect!(cx, at,
        timeout: "streams have no timeout",
        retry_policy: "streams are opened again with back-off",
    );
    let target = match target_specifier {
        Some(TargetSpecifier::EnvoyGrpc(target)) => target,
        Some(TargetSpecifier::GoogleGrpc(_)) => {
            cx.refuse(&at.field("google_grpc"), "is not supported: use envoy_grpc");
            return None;
        }
        None => {
            cx.refuse(&at, "needs envoy_grpc");
            return None;
        }
    };
    let at = at.field("envoy_grpc");
    let core::grpc_service::EnvoyGrpc {
        cluster_name,
        authority,
        retry_policy,
        max_receive_message_length,
        skip_envoy_headers,
    } = target;
    no_effect!(cx, at,
        retry_policy: "streams are opened again with back-off",
        max_receive_message_length: "messages are limited by the xDS client",
        skip_envoy_headers: "no such headers are sent",
    );
    if cluster_name.is_empty() {
        cx.refuse(&at.field("cluster_name"), "must not be empty");
    }
    let metadata = initial_metadata
        .iter()
        .map(|core::HeaderValue { key, value, raw_value: _only_text_is_metadata_here }| {
            (text(key), text(value))
        })
        .collect();
    Some(XdsSource {
        delta,
        cluster: text(cluster_name),
        authority: text(if authority.is_empty() { cluster_name } else { authority }),
        metadata,
        initial_fetch_timeout: Some(Duration::from_secs(15)),
    })
}

fn admin(cx: &mut Context<'_>, at: &At<'_>, message: &pb::Admin) -> Option<Admin> {
    let pb::Admin {
        access_log,
        access_log_path,
        profile_path,
        address,
        socket_options,
        ignore_global_conn_limit,
        allow_paths,
    } = message;
    refuse!(cx, at, socket_options: UNSUPPORTED, allow_paths: UNSUPPORTED);
    no_effect!(cx, at,
        access_log_path: "use access_log",
        profile_path: "there is no such profiler",
        ignore_global_conn_limit: "there is no global connection limit",
    );
    // Without an address there is no administration port.
    let address = address.as_ref()?;
    let address = net::address(cx, &at.field("address"), Some(address), net::Names::Refused)?;
    Some(Admin { address, access_logs: access_log::access_logs(cx, &at.field("access_log"), access_log) })
}
