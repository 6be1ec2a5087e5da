//! Copies of a request for other clusters, whose answers are thrown away.

use std::{rc::Rc, time::Duration};

use tulle_engine::decide::{header_ops, route::header_text};
use tulle_engine::runtime::route::{ClusterName, Mirror};
use tulle_http::RequestHead;

use super::Plan;
use crate::http::{
    attempt::Replay,
    call::{self, Keep},
    context,
    exchange::Exchange,
};

/// How long a copy may take where the route has no timeout.
const LIMIT: Duration = Duration::from_secs(15);

/// Starts the copies that the route asks for, once the request is complete. A body that could not be kept whole is not copied.
pub(super) fn send(x: &Exchange<'_>, plan: &Plan<'_>, replay: &Replay) {
    if plan.to.mirrors.is_empty() || !x.flow.done || plan.upgrade || x.s.request.is_connect() {
        return;
    }
    let body = match replay.bytes() {
        Some(bytes) => bytes,
        None if x.flow.bytes == 0 => &[],
        None => return,
    };
    for mirror in plan.to.mirrors.iter().filter(|m| m.fraction.hits(fastrand::u64(..))) {
        let name = match &mirror.cluster {
            ClusterName::Name(name) => &**name,
            ClusterName::Header(key) => header_text(&x.s.request, key),
        };
        let Some(cluster) = x.conn.worker.cluster(name) else { continue };
        let head = copy_of(x, plan, mirror);
        let worker = Rc::clone(&x.conn.worker);
        let limit = plan.times.global.unwrap_or(LIMIT);
        let body = body.to_vec();
        tokio::task::spawn_local(async move {
            // A copy that is late is given up; nobody waits for it.
            let _ =
                tokio::time::timeout(limit, call::call(&worker, &cluster, &head, &body, Keep::Nothing)).await;
        });
    }
}

fn copy_of(x: &Exchange<'_>, plan: &Plan<'_>, mirror: &Mirror) -> RequestHead {
    let Mirror { cluster: _, fraction: _, shadow_suffix, host_rewrite, headers } = mirror;
    let mut head = x.s.request.clone();
    if !host_rewrite.is_empty() {
        head.authority = host_rewrite.to_string();
    }
    if *shadow_suffix {
        let at = head.host().len();
        head.authority.insert_str(at, "-shadow");
    }
    if !headers.is_empty() {
        let cx = context::of(x, &plan.found.route.name);
        header_ops::apply_to_request(headers, &mut head, &cx, &mut String::new());
    }
    head
}
