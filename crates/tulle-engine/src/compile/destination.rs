//! Where requests go: clusters, clusters by weight, and mirrors.

use tulle_proto::envoy::{core, mutation_rules, route as pb};

use super::context::{At, Context, UNSUPPORTED};
use super::overrides::overrides;
use super::value::{metadata, number, runtime_fraction, text};
use super::{headers, matcher};
use crate::runtime::filter::FilterOverrides;
use crate::runtime::headers::HeaderOps;
use crate::runtime::matcher::Fraction;
use crate::runtime::metadata::Fields;
use crate::runtime::route::{ClusterChoice, ClusterName, Mirror, WeightedCluster, WeightedClusters};

/// `envoy.lb` of the metadata that endpoints must have.
pub(super) fn lb_metadata(cx: &mut Context<'_>, at: &At<'_>, message: Option<&core::Metadata>) -> Fields {
    metadata(cx, at, message).remove("envoy.lb").unwrap_or_default()
}

pub(super) fn cluster(
    cx: &mut Context<'_>,
    at: &At<'_>,
    message: Option<&pb::route_action::ClusterSpecifier>,
    filters: &FilterOverrides,
) -> Option<ClusterChoice> {
    use pb::route_action::ClusterSpecifier as Spec;
    match message {
        Some(Spec::Cluster(name)) => {
            if name.is_empty() {
                cx.refuse(&at.field("cluster"), "must not be empty");
            }
            Some(ClusterChoice::Single(text(name)))
        }
        Some(Spec::ClusterHeader(name)) => {
            matcher::header_key(cx, &at.field("cluster_header"), name).map(ClusterChoice::Header)
        }
        Some(Spec::WeightedClusters(message)) => {
            weighted(cx, &at.field("weighted_clusters"), message, filters).map(ClusterChoice::Weighted)
        }
        Some(Spec::ClusterSpecifierPlugin(_)) => {
            cx.refuse(&at.field("cluster_specifier_plugin"), UNSUPPORTED);
            None
        }
        Some(Spec::InlineClusterSpecifierPlugin(_)) => {
            cx.refuse(&at.field("inline_cluster_specifier_plugin"), UNSUPPORTED);
            None
        }
        None => {
            cx.refuse(at, "needs cluster, weighted_clusters or cluster_header");
            None
        }
    }
}

fn weighted(
    cx: &mut Context<'_>,
    at: &At<'_>,
    message: &pb::WeightedCluster,
    filters: &FilterOverrides,
) -> Option<WeightedClusters> {
    use pb::weighted_cluster::RandomValueSpecifier as Random;
    let pb::WeightedCluster { clusters, total_weight, runtime_key_prefix, random_value_specifier } = message;
    no_effect!(cx, at,
        total_weight: "weights are taken as parts of their sum",
        runtime_key_prefix: super::value::RUNTIME_KEY,
    );
    let list_at = at.field("clusters");
    let mut out = Vec::with_capacity(clusters.len());
    for (i, message) in clusters.iter().enumerate() {
        out.push(weight(cx, &list_at.index(i), message, filters)?);
    }
    let total: u64 = out.iter().map(|c| u64::from(c.weight)).sum();
    if total == 0 || total > u64::from(u32::MAX) {
        cx.refuse(&list_at, "the sum of the weights must be above zero and below 2^32");
        return None;
    }
    let random_header = match random_value_specifier {
        Some(Random::HeaderName(name)) => Some(matcher::header_key(cx, &at.field("header_name"), name)?),
        _ => None,
    };
    let use_hash_policy = matches!(random_value_specifier, Some(Random::UseHashPolicy(flag)) if flag.value);
    Some(WeightedClusters { clusters: out, total, random_header, use_hash_policy })
}

fn weight(
    cx: &mut Context<'_>,
    at: &At<'_>,
    message: &pb::weighted_cluster::ClusterWeight,
    filters: &FilterOverrides,
) -> Option<WeightedCluster> {
    use pb::weighted_cluster::cluster_weight::HostRewriteSpecifier;
    let pb::weighted_cluster::ClusterWeight {
        name,
        cluster_header,
        weight,
        metadata_match,
        request_headers_to_add,
        request_headers_to_remove,
        response_headers_to_add,
        response_headers_to_remove,
        typed_per_filter_config,
        host_rewrite_specifier,
    } = message;
    let cluster = cluster_name(cx, at, "name", name, cluster_header)?;
    let host_rewrite = match host_rewrite_specifier {
        Some(HostRewriteSpecifier::HostRewriteLiteral(host)) => text(host),
        None => text(""),
    };
    Some(WeightedCluster {
        cluster,
        weight: number(weight.as_ref(), 0),
        request_headers: headers::ops(
            cx,
            (&at.field("request_headers_to_add"), request_headers_to_add),
            (&at.field("request_headers_to_remove"), request_headers_to_remove),
        ),
        response_headers: headers::ops(
            cx,
            (&at.field("response_headers_to_add"), response_headers_to_add),
            (&at.field("response_headers_to_remove"), response_headers_to_remove),
        ),
        host_rewrite,
        filters: overrides(cx, &at.field("typed_per_filter_config"), typed_per_filter_config, None, filters),
        metadata_match: lb_metadata(cx, &at.field("metadata_match"), metadata_match.as_ref()),
    })
}

fn cluster_name(
    cx: &mut Context<'_>,
    at: &At<'_>,
    field: &str,
    name: &str,
    header: &str,
) -> Option<ClusterName> {
    match (name.is_empty(), header.is_empty()) {
        (false, true) => Some(ClusterName::Name(text(name))),
        (true, false) => {
            matcher::header_key(cx, &at.field("cluster_header"), header).map(ClusterName::Header)
        }
        _ => {
            cx.refuse(at, format!("needs {field} or cluster_header, and not both"));
            None
        }
    }
}

pub(super) fn mirrors(
    cx: &mut Context<'_>,
    at: &At<'_>,
    list: &[pb::route_action::RequestMirrorPolicy],
) -> Vec<Mirror> {
    list.iter().enumerate().filter_map(|(i, message)| mirror(cx, &at.index(i), message)).collect()
}

fn mirror(
    cx: &mut Context<'_>,
    at: &At<'_>,
    message: &pb::route_action::RequestMirrorPolicy,
) -> Option<Mirror> {
    use mutation_rules::header_mutation::Action;
    let pb::route_action::RequestMirrorPolicy {
        cluster,
        cluster_header,
        runtime_fraction: fraction,
        trace_sampled,
        disable_shadow_host_suffix_append,
        request_headers_mutations,
        host_rewrite_literal,
    } = message;
    no_effect!(cx, at, trace_sampled: "spans are not exported yet");
    let fraction = match fraction {
        Some(fraction) => runtime_fraction(cx, &at.field("runtime_fraction"), fraction)?,
        None => Fraction::ALWAYS,
    };
    let mut ops = HeaderOps::default();
    let list_at = at.field("request_headers_mutations");
    for (i, mutation_rules::HeaderMutation { action }) in request_headers_mutations.iter().enumerate() {
        let at = list_at.index(i);
        match action {
            Some(Action::Remove(name)) => {
                ops.remove.extend(matcher::header_name(cx, &at.field("remove"), name));
            }
            Some(Action::Append(message)) => {
                ops.add.extend(headers::header_add(cx, &at.field("append"), message));
            }
            Some(Action::RemoveOnMatch(_)) | None => {
                cx.refuse(&at, "only remove and append are supported");
            }
        }
    }
    Some(Mirror {
        cluster: cluster_name(cx, at, "cluster", cluster, cluster_header)?,
        fraction,
        shadow_suffix: !disable_shadow_host_suffix_append,
        host_rewrite: text(host_rewrite_literal),
        headers: ops,
    })
}
