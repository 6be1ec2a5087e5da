//! What requests and connections pass first at a gateway: providers, tokens, who may, how many.
//!
//! Policies that select the gateway's pods are for all that it serves. One that names a Gateway of the Gateway API (`targetRefs`)
//! is for what comes through that Gateway, also where several share pods: their chains have filters of their own, and where
//! they share a chain, its filters say what holds for all and the routes of a Gateway say what holds for it.

use std::collections::{BTreeMap, HashMap};

use tulle_mesh::envoy_filter::GATEWAY_NAME;
use tulle_mesh::gateway::Gateway;
use tulle_mesh::policy::{AuthorizationPolicy, RequestAuthentication};
use tulle_mesh::routing::Semantics;
use tulle_mesh::{NsName, Snapshot};
use tulle_proto::Any;
use tulle_proto::envoy::http_connection_manager::HttpFilter;
use tulle_proto::envoy::http_rbac::RbacPerRoute;
use tulle_proto::envoy::jwt_authn::{PerRouteConfig, per_route_config::RequirementSpecifier};

use crate::edge::Bound;
use crate::jwt;
use crate::pb::pack;
use crate::proxy::Proxy;
use crate::rate_limit;
use crate::rbac;
use crate::sources::Sources;

/// The policies of a gateway's pods.
pub(crate) struct Guards<'a> {
    snapshot: &'a Snapshot,
    proxy: &'a Proxy,
    common: Policies<'a>,
    limits: Vec<HttpFilter>,
    limited: Sources,
}

/// Policies that hold together.
#[derive(Clone, Default, PartialEq)]
struct Policies<'a> {
    authorizations: Vec<&'a AuthorizationPolicy>,
    tokens: Vec<&'a RequestAuthentication>,
}

impl<'a> Policies<'a> {
    fn and(&self, more: &Self) -> Self {
        let mut all = self.clone();
        all.authorizations.extend(&more.authorizations);
        all.tokens.extend(&more.tokens);
        all
    }

    fn is_empty(&self) -> bool {
        self.authorizations.is_empty() && self.tokens.is_empty()
    }

    fn add_to(&self, sources: &mut Sources) {
        self.authorizations.iter().for_each(|p| sources.add(&p.meta));
        self.tokens.iter().for_each(|p| sources.add(&p.meta));
    }
}

impl<'a> Guards<'a> {
    pub(crate) fn of(snapshot: &'a Snapshot, proxy: &'a Proxy) -> Self {
        let (namespace, labels) = (proxy.namespace(), &proxy.labels);
        let mut limited = Sources::default();
        let common = Policies {
            authorizations: snapshot.authorizations(namespace, labels),
            tokens: snapshot.tokens_of(namespace, labels),
        };
        let limits = rate_limit::filters(snapshot, namespace, labels, &mut limited);
        Self { snapshot, proxy, common, limits, limited }
    }

    /// The filters of a chain that these servers share.
    pub(crate) fn filters(&self, servers: &[&Bound], sources: &mut Sources) -> rbac::Filters {
        let builder = rbac::Builder::new(self.snapshot, self.proxy.namespace());
        let own = self.own(servers);
        self.common.add_to(sources);
        own.values().for_each(|policies| policies.add_to(sources));
        sources.extend(self.limited.clone());
        let mut filters = if is_mixed(&own) {
            let others: Vec<_> = own.values().map(|p| p.authorizations.clone()).collect();
            let named = own.iter().map(|(name, p)| (name.to_string(), self.common.and(p).tokens)).collect();
            let tokens = jwt::filter(self.snapshot, &self.common.tokens, &named, true);
            builder.named(&self.common.authorizations, &others).with_tokens(tokens)
        } else {
            let all = self.common.and(own.values().next().unwrap_or(&Policies::default()));
            let tokens = jwt::filter(self.snapshot, &all.tokens, &BTreeMap::new(), true);
            builder.filters(&all.authorizations).with_tokens(tokens)
        };
        filters.http.extend(self.limits.iter().cloned());
        filters
    }

    /// What routes of `gateway` say to the filters of a chain that `servers` share, by the name of the filter.
    pub(crate) fn of_routes(&self, gateway: &Gateway, servers: &[&Bound]) -> HashMap<String, Any> {
        let own = self.own(servers);
        let name = document(gateway);
        let Some(mine) = own.get(&name).filter(|mine| is_mixed(&own) && !mine.is_empty()) else {
            return HashMap::new();
        };
        let all = self.common.and(mine);
        let builder = rbac::Builder::new(self.snapshot, self.proxy.namespace());
        let rules = builder.overrides(&all.authorizations);
        let mut out: HashMap<String, Any> =
            rules.into_iter().map(|(name, rbac)| (name, pack(&RbacPerRoute { rbac: Some(rbac) }))).collect();
        if !all.tokens.is_empty() {
            let requirement = RequirementSpecifier::RequirementName(name.to_string());
            let config = PerRouteConfig { requirement_specifier: Some(requirement) };
            out.insert(jwt::FILTER.to_owned(), pack(&config));
        }
        out
    }

    /// The policies that name a Gateway of these servers and are not for the pods anyway, by the Gateway.
    fn own(&self, servers: &[&Bound]) -> BTreeMap<NsName, Policies<'a>> {
        let mut out = BTreeMap::new();
        for server in servers {
            let name = document(&server.gateway);
            if out.contains_key(&name) {
                continue;
            }
            let made_for_it = self.proxy.namespace() == name.namespace
                && self.proxy.labels.get(GATEWAY_NAME) == Some(&name.name);
            let targeted = server.gateway.semantics == Semantics::GatewayApi && !made_for_it;
            let policies = if targeted {
                Policies {
                    authorizations: self.snapshot.authorizations_at(&name),
                    tokens: self.snapshot.tokens_at(&name),
                }
            } else {
                Policies::default()
            };
            out.insert(name, policies);
        }
        out
    }
}

/// Whether different policies hold for different Gateways.
fn is_mixed(own: &BTreeMap<NsName, Policies<'_>>) -> bool {
    let mut all = own.values();
    let first = all.next();
    all.any(|other| Some(other) != first)
}

/// The name of the document behind a gateway.
fn document(gateway: &Gateway) -> NsName {
    NsName::new(gateway.meta.namespace(), gateway.meta.name())
}
