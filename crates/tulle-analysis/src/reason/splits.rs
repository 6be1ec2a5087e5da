//! Weighted splits between versions of one host.

use std::sync::Arc;

use tulle_base::{Host, Labels};
use tulle_mesh::destination::DestinationRule;

use super::hosts::fqdn;
use super::routes::{RouteAt, http_routes};
use crate::whole::Whole;

/// A route that shares its requests between versions.
#[derive(Debug)]
pub struct Split<'a> {
    /// The route.
    pub route: RouteAt<'a>,
    /// Host and subset of each destination that gets something, with the rule for the host.
    pub versions: Vec<(Host, &'a str, Option<Arc<DestinationRule>>)>,
}

/// Every split between at least two destinations that get something.
pub fn splits<'a>(whole: &Whole<'a>) -> Vec<Split<'a>> {
    let snapshot = whole.snapshot();
    let none = Labels::new();
    let mut out = Vec::new();
    for route in http_routes(whole) {
        if route.live_destinations().count() < 2 {
            continue;
        }
        let namespace = route.object.meta.namespace.as_str();
        let versions = route.live_destinations().map(|(_, to)| {
            let host = fqdn(&to.destination.host, namespace, snapshot.mesh());
            let service = snapshot.service(&host, namespace).map(|s| s.namespace().to_owned());
            let rule = snapshot.destination_rule(&host, namespace, service.as_deref(), &none);
            (host, to.destination.subset.as_str(), rule.cloned())
        });
        out.push(Split { route, versions: versions.collect() });
    }
    out
}
