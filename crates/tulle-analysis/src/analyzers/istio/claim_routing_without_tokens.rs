//! Routes by the claims of a token at a gateway that checks no tokens: the claims are never there.

use tulle_api::istio::{Gateway, RequestAuthentication, VirtualService};
use tulle_base::{Labels, Severity};
use tulle_mesh::NsName;

use crate::analyzer::{Analyzer, Findings};
use crate::reason::matches::contains;
use crate::reason::pods::Pods;
use crate::reason::routes::{bound_gateways, routes_of};
use crate::whole::Whole;

/// Routes by claims of a token at a gateway for which no RequestAuthentication exists.
pub(super) const ANALYZER: Analyzer = Analyzer {
    code: "IST0149",
    name: "JwtClaimBasedRoutingWithoutRequestAuthN",
    severity: Severity::Error,
    about: "Routes by claims of a token at a gateway for which no RequestAuthentication exists",
    check,
};

fn check(whole: &Whole<'_>, out: &mut Findings) {
    for (object, spec) in whole.all::<VirtualService>() {
        let Some((path, claim)) = routes_of(object, spec).find_map(|route| {
            route.route.matches.iter().enumerate().find_map(|(i, m)| {
                let lists = [("headers", &m.headers), ("withoutHeaders", &m.without_headers)];
                let named = lists.into_iter().flat_map(|(f, list)| list.keys().map(move |name| (f, name)));
                let (field, name) = named.into_iter().find(|(_, n)| n.starts_with("@request.auth.claims"))?;
                Some((route.path(&format!("match[{i}].{field}")), name))
            })
        }) else {
            continue;
        };
        for gateway in bound_gateways(object, spec) {
            if let Some(pods) = without_tokens(whole, &gateway) {
                let message = format!(
                    "{claim} is a claim of a token, but no RequestAuthentication is for {} of Gateway {gateway}",
                    pods.object.resource()
                );
                let fix = format!("add one to {} that selects these pods", pods.namespace());
                out.report(object, path.field(claim), message, fix);
            }
        }
    }
}

/// Pods of the gateway for which no tokens are checked.
fn without_tokens<'s>(whole: &'s Whole<'_>, gateway: &NsName) -> Option<&'s Pods<'s>> {
    let spec = whole.gateway(gateway)?;
    let root = whole.root_namespace();
    let checked = |pods: &Pods<'_>| {
        whole.all::<RequestAuthentication>().any(|(object, spec)| {
            let none = Labels::new();
            let wanted = spec.selector.as_ref().map_or(&none, |s| &s.match_labels);
            [root, pods.namespace()].contains(&object.meta.namespace.as_str())
                && contains(pods.labels(), wanted)
        })
    };
    let Gateway { servers: _, selector } = spec;
    if selector.is_empty() {
        return None;
    }
    whole.pods().select(None, selector).find(|p| !checked(p))
}
