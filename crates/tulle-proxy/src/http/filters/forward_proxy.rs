//! `envoy.filters.http.dynamic_forward_proxy`.

use std::rc::Rc;

use tulle_engine::{
    decide::{matcher::HeaderView as _, names::Target, route::pick_cluster},
    runtime::{filter::FilterOverride, forward_proxy::ForwardHost, route::Action},
};
use tulle_http::uri::is_authority;
use tulle_telemetry::ResponseFlag;

use super::meanwhile;
use crate::{
    http::{exchange::Exchange, reply::Reply},
    names::Unknown,
};

/// Finds the addresses of the host that the request names, if its cluster forwards to such hosts: who names none that can be found
/// learns why. Others pass.
pub(super) async fn find(
    x: &mut Exchange<'_>,
    number: usize,
    change: Option<&FilterOverride>,
) -> Option<Reply> {
    let Action::Forward(to) = &x.found?.route.action else { return None };
    let picked = pick_cluster(&to.cluster, &x.s.request, x.record.random, None);
    let cluster = x.conn.worker.cluster(picked.name)?;
    cluster.names()?;
    if let Some(FilterOverride::ForwardHost(host)) = change {
        rename(x, host);
    }
    let Some(target) = Target::of(&x.s.request.authority, cluster.usual_port()) else {
        return Some(Reply::new(400, "Empty host header", "empty_host_header"));
    };
    let (_, lookups) = x.manager.lookups.iter().find(|(of, _)| *of == number)?;
    let lookups = Rc::clone(lookups);
    match meanwhile(x, lookups.find(&target)).await {
        // The cluster finds them in the same place.
        Ok(Ok(_known)) => None,
        Ok(Err(why)) => Some(unknown(why)),
        Err(reply) => Some(reply),
    }
}

/// The host that the route names.
fn rename(x: &mut Exchange<'_>, host: &ForwardHost) {
    let request = &mut x.s.request;
    let name = match host {
        ForwardHost::Literal(name) => Some(name.to_string()),
        ForwardHost::Header(key) => {
            request.first(key).and_then(|value| std::str::from_utf8(value).ok()).map(str::to_owned)
        }
    };
    if let Some(name) = name.filter(|name| is_authority(name.as_bytes())) {
        request.authority = name;
    }
}

fn unknown(why: Unknown) -> Reply {
    let failed =
        |details| Reply::new(503, "DNS resolution failure", details).flag(ResponseFlag::DnsResolutionFailed);
    match why {
        Unknown::NotFound => failed("dns_resolution_failure{not_found}"),
        Unknown::Refused => failed("dns_resolution_failure{address_refused}"),
        Unknown::Full => Reply::new(503, "DNS cache overflow", "dns_cache_overflow"),
        Unknown::Overflow => Reply::new(
            503,
            "Dynamic forward proxy pending request overflow",
            "dynamic_forward_proxy_pending_request_overflow",
        ),
    }
}
