//! Who may connect: the network filters in front of a chain's terminal filter, in their order.

use std::{rc::Rc, sync::Arc, time::Duration};

use tulle_engine::{
    decide::{
        authorize::{self, AuthInput},
        ext_authz, matcher,
    },
    runtime::{
        listener::{NetworkExtAuthz, NetworkFilter, NetworkRbac},
        metadata::Metadata,
    },
};
use tulle_proto::envoy::auth::CheckResponse;
use tulle_telemetry::{ResponseFlag, details, metrics::proxy::TcpStats};

use crate::{http::grpc, listener::facts::Conn};

/// Where L4 rules write what shadow rules say.
const RBAC: &str = "envoy.filters.network.rbac";
/// The method of the service that is asked.
const METHOD: &str = "/envoy.service.auth.v3.Authorization/Check";

/// Why a connection is refused.
#[derive(Debug)]
pub(crate) struct Denied {
    /// For the access log.
    pub(crate) details: String,
    /// For the access log.
    pub(crate) flag: Option<ResponseFlag>,
    /// How long it stays open.
    pub(crate) delay: Option<Duration>,
}

/// Whether the chain asks anything at all.
pub(crate) fn is_guarded(conn: &Conn) -> bool {
    let asks = |f: &NetworkFilter| matches!(f, NetworkFilter::Rbac(_) | NetworkFilter::ExtAuthz(_));
    conn.chain.config.filters.iter().any(asks)
}

/// Asks the filters, and tells the AUDIT policy that asks for a record. `stats` are those of a TCP proxy.
pub(crate) async fn ask(conn: &Rc<Conn>, stats: Option<&TcpStats>) -> Result<Option<Arc<str>>, Denied> {
    let (mut metadata, mut audited) = (Metadata::new(), None);
    for filter in &conn.chain.config.filters {
        match filter {
            NetworkFilter::Rbac(rbac) => audited = authorize(conn, rbac, stats, &mut metadata)?.or(audited),
            NetworkFilter::ExtAuthz(filter) => service(conn, filter, stats, &metadata).await?,
            NetworkFilter::IstioStats(_)
            | NetworkFilter::MetadataExchange { .. }
            | NetworkFilter::ForwardProxy(_) => {}
        }
    }
    Ok(audited)
}

fn authorize(
    conn: &Conn,
    rbac: &NetworkRbac,
    stats: Option<&TcpStats>,
    metadata: &mut Metadata,
) -> Result<Option<Arc<str>>, Denied> {
    let names = conn.names();
    let view = conn.view(conn.arrival.peer, (&names.0, &names.1));
    let principal = conn.identity().and_then(|peer| peer.principal());
    let state = [("io.istio.peer_principal", principal.map_or("", |p| p))];
    let input = AuthInput {
        head: None,
        connection: &view,
        metadata: Some(metadata),
        filter_state: if principal.is_some() { &state } else { &[] },
    };
    let NetworkRbac { rules, enforcement: _, delay_deny } = rbac;
    let verdict = authorize::filter(rules, &input);
    conn.worker.telemetry.count_policies(rules, &verdict);
    let noted = authorize::noted(rules, &verdict);
    let audited = (verdict.log == Some(true)).then(|| verdict.enforced.policy.map(|p| Arc::clone(&p.name)));
    let verdict = verdict.enforced;
    if let Some(noted) = noted {
        metadata.entry(RBAC.into()).or_default().extend(noted);
    }
    if verdict.allowed {
        if let (Some(stats), true) = (stats, rules.rules.is_some()) {
            stats.rbac_allowed.inc();
        }
        return Ok(audited.flatten());
    }
    if let Some(stats) = stats {
        stats.rbac_denied.inc();
    }
    let details = details::rbac_denied(verdict.policy.map(|p| &*p.name));
    Err(Denied { details, flag: None, delay: *delay_deny })
}

/// Asks a service about the connection. Whoever does not get an answer is refused, unless the filter says otherwise.
async fn service(
    conn: &Rc<Conn>,
    filter: &NetworkExtAuthz,
    stats: Option<&TcpStats>,
    metadata: &Metadata,
) -> Result<(), Denied> {
    if filter.enabled_metadata.as_ref().is_some_and(|wanted| !matcher::metadata(wanted, metadata)) {
        return Ok(());
    }
    let question = {
        let names = conn.names();
        let view = conn.view(conn.arrival.peer, (&names.0, &names.1));
        ext_authz::connection_request(filter, &view, metadata)
    };
    let answer = grpc::unary::<_, CheckResponse>(&conn.worker, &filter.service, METHOD, &question).await;
    let count = |f: fn(&TcpStats) -> &tulle_telemetry::metrics::proxy::Stat| {
        stats.map(f).inspect(|stat| stat.inc());
    };
    let details = match answer {
        Ok(CheckResponse { status, .. }) => {
            if status.is_none_or(|status| status.code == 0) {
                count(|stats| &stats.ext_authz_ok);
                return Ok(());
            }
            count(|stats| &stats.ext_authz_denied);
            "ext_authz_denied"
        }
        Err(fault) => {
            tracing::debug!(cluster = %filter.service.cluster, %fault, "the authorization service does not answer");
            count(|stats| &stats.ext_authz_error);
            if filter.failure_allow {
                count(|stats| &stats.ext_authz_failure_mode_allowed);
                return Ok(());
            }
            "ext_authz_error"
        }
    };
    let flag = Some(ResponseFlag::UnauthorizedExternalService);
    Err(Denied { details: details.to_owned(), flag, delay: None })
}
