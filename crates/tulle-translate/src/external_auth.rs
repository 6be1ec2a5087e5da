//! External authorization that routes ask for. Each service with its settings is a filter of its own, which is off but on the
//! routes that ask it.

use std::collections::BTreeMap;
use std::time::Duration;

use tulle_mesh::routing::{AuthProtocol, ExternalAuth};
use tulle_proto::envoy::core::{
    ApiVersion, GrpcService, HttpUri,
    grpc_service::{EnvoyGrpc, TargetSpecifier},
    http_uri::HttpUpstreamType,
};
use tulle_proto::envoy::ext_authz::{
    AuthorizationResponse, BufferSettings, CheckSettings, ExtAuthz, ExtAuthzPerRoute, HttpService,
    ext_authz::Services, ext_authz_per_route::Override,
};
use tulle_proto::envoy::http_connection_manager::HttpFilter;
use tulle_proto::envoy::kind::HttpStatus;
use tulle_proto::envoy::matcher::{
    ListStringMatcher,
    string_matcher::MatchPattern::{Exact, SafeRegex},
};

use crate::filters;
use crate::pb::{duration, matcher, regex};
use crate::route::cluster_of;
use crate::view::View;

/// How long an answer may take.
const TIMEOUT: Duration = Duration::from_secs(5);
/// What a request is not given from an answer: what is about the answer itself.
const OF_ANSWER: &[&str] = &[
    "connection",
    "content-encoding",
    "content-length",
    "host",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// The filters, off, for whom routes ask.
pub(crate) fn filters<'a>(
    view: &View,
    asked: impl IntoIterator<Item = &'a ExternalAuth>,
) -> impl Iterator<Item = HttpFilter> {
    let all: BTreeMap<String, &ExternalAuth> =
        asked.into_iter().map(|auth| (name(view, auth), auth)).collect();
    let made: Vec<HttpFilter> = all
        .into_iter()
        .map(|(name, auth)| HttpFilter { disabled: true, ..filters::http(&name, &filter(view, auth)) })
        .collect();
    made.into_iter()
}

/// What a route says to have a filter on.
pub(crate) fn on() -> ExtAuthzPerRoute {
    ExtAuthzPerRoute { r#override: Some(Override::CheckSettings(CheckSettings::default())) }
}

/// The name of the filter: whatever is asked differently is asked by another one.
pub(crate) fn name(view: &View, auth: &ExternalAuth) -> String {
    let ExternalAuth { destination, protocol, headers, body } = auth;
    let (kind, prefix, answered) = match protocol {
        AuthProtocol::Grpc => ("grpc", "", String::new()),
        AuthProtocol::Http { prefix, answered } => ("http", prefix.as_str(), answered.join(",")),
    };
    let (cluster, headers) = (cluster_of(view, destination, 0), headers.join(","));
    let body = body.unwrap_or_default();
    format!("envoy.filters.http.ext_authz/{kind}/{cluster}/{body}/{headers}/{answered}{prefix}")
}

fn filter(view: &View, auth: &ExternalAuth) -> ExtAuthz {
    let ExternalAuth { destination, protocol, headers, body } = auth;
    let cluster = cluster_of(view, destination, 0);
    let service = match protocol {
        AuthProtocol::Grpc => Services::GrpcService(GrpcService {
            target_specifier: Some(TargetSpecifier::EnvoyGrpc(EnvoyGrpc {
                cluster_name: cluster,
                ..EnvoyGrpc::default()
            })),
            timeout: Some(duration(TIMEOUT)),
            ..GrpcService::default()
        }),
        AuthProtocol::Http { prefix, answered } => {
            let allowed = match answered.as_slice() {
                [] => ListStringMatcher { patterns: vec![matcher(SafeRegex(regex(all_but(OF_ANSWER))))] },
                names => exactly(names),
            };
            let authority = destination.host.as_str();
            Services::HttpService(HttpService {
                server_uri: Some(HttpUri {
                    uri: format!("http://{authority}"),
                    timeout: Some(duration(TIMEOUT)),
                    http_upstream_type: Some(HttpUpstreamType::Cluster(cluster)),
                }),
                path_prefix: prefix.clone(),
                authorization_response: Some(AuthorizationResponse {
                    allowed_upstream_headers: Some(allowed),
                    ..AuthorizationResponse::default()
                }),
                ..HttpService::default()
            })
        }
    };
    ExtAuthz {
        services: Some(service),
        transport_api_version: ApiVersion::V3 as i32,
        // Who cannot be asked is at fault, not the client.
        status_on_error: Some(HttpStatus { code: 500 }),
        with_request_body: body.map(|most| BufferSettings {
            max_request_bytes: most.into(),
            allow_partial_message: true,
            ..BufferSettings::default()
        }),
        allowed_headers: (!headers.is_empty()).then(|| exactly(headers)),
        ..ExtAuthz::default()
    }
}

fn exactly(names: &[String]) -> ListStringMatcher {
    ListStringMatcher { patterns: names.iter().map(|name| matcher(Exact(name.clone()))).collect() }
}

/// An expression for every name of a header but these. RE2 has no negation, so it follows the names letter by letter.
fn all_but(names: &[&str]) -> String {
    let mut next: BTreeMap<char, Vec<&str>> = BTreeMap::new();
    for name in names {
        let mut rest = name.chars();
        if let Some(first) = rest.next() {
            next.entry(first).or_default().push(rest.as_str());
        }
    }
    if next.is_empty() {
        return ".+".to_owned();
    }
    let letters: String =
        next.keys().map(|c| if *c == '-' { r"\-".to_owned() } else { c.to_string() }).collect();
    let ends = if names.contains(&"") { "" } else { "?" };
    let deeper: Vec<String> = next.iter().map(|(c, rest)| format!("{c}{}", all_but(rest))).collect();
    format!("([^:{letters}].*|{}){ends}", deeper.join("|"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use super::*;

    #[test]
    fn every_name_but_those_of_the_answer() {
        let expression = regex::Regex::new(&format!("^(?:{})$", all_but(OF_ANSWER))).unwrap();
        let passes = |name: &str| expression.is_match(name);
        assert!(OF_ANSWER.iter().all(|name| !passes(name)));
        assert!(!passes(":status"));
        for name in [
            "x-user",
            "content-type",
            "content-length-x",
            "hos",
            "hosts",
            "t",
            "te2",
            "trailers",
            "set-cookie",
        ] {
            assert!(passes(name), "{name}");
        }
    }
}
