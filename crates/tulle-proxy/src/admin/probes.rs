//! `/app-health/...`: probes of the application, asked from within the pod so that they need no client certificate.

use std::net::SocketAddr;

use hyper::StatusCode;

use super::http::Reply;
use super::merged::{Fetch, fetch};
use crate::boot::Main;

/// Asks the application what its spec's probe would have asked.
pub(super) async fn probe(main: &Main, path: &str) -> Reply {
    let Some(probe) = main.app_probes.get(path) else {
        return Reply::of(StatusCode::NOT_FOUND, "no probe of that name was rewritten\n");
    };
    let Some(ip) = main.pod_ip else {
        return Reply::of(StatusCode::INTERNAL_SERVER_ERROR, "the pod's address is not known\n");
    };
    let timeout = std::time::Duration::from_secs(probe.timeout_seconds.max(1));
    let address = SocketAddr::new(ip, probe.port);
    if probe.path.is_empty() {
        return match tokio::time::timeout(timeout, tulle_identity::connect::dial(address, main.mark)).await {
            Ok(Ok(_)) => Reply::text("OK\n"),
            Ok(Err(error)) => Reply::of(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
            Err(_) => Reply::of(StatusCode::INTERNAL_SERVER_ERROR, "no answer in time\n"),
        };
    }
    let asked = Fetch { address, path: &probe.path, headers: &probe.headers, mark: main.mark, timeout };
    match fetch(asked).await {
        Ok((status, _, body)) => Reply::of(status, body),
        Err(error) => Reply::of(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
    }
}
