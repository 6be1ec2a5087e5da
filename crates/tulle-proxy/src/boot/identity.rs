//! The workload's identity: from the CA, or from somebody else's socket; and to other processes of the pod.

use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::Notify;
use tulle_identity::ca::{CaClient, Issuer};
use tulle_identity::rotate::{Rotation, RotationStatus};
use tulle_identity::secrets::{MESH_ROOTS, OWN_CERTIFICATE};
use tulle_identity::{Trust, Watched, connect};

use super::main_thread::Main;
use super::plan::IdentityPlan;
use super::run::BootError;
use super::xds;
use crate::workload::external::External;
use crate::workload::{self, Identity};

/// Where Istio's proxies look for an SDS server of somebody else: SPIRE's CSI driver puts its socket there.
const WELL_KNOWN: &str = "/run/secrets/workload-spiffe-uds/socket";

/// Begins to keep the certificate in force, and to give one away where that is asked for.
pub(super) fn start(
    main: &Main,
    plan: IdentityPlan,
    node: &Bytes,
    status: Watched<RotationStatus>,
) -> Result<(), BootError> {
    let IdentityPlan { id, ca, token, ttl, socket } = plan;
    let (certificate, bundle) = (main.secrets.certificate(OWN_CERTIFICATE), main.secrets.bundle(MESH_ROOTS));
    if let Some(socket) = external(socket.as_deref(), Path::new(WELL_KNOWN), is_served) {
        tracing::info!(socket = %socket.display(), "identity comes from an SDS server");
        let (socket, node, trust_domain) = (socket.to_owned(), node.clone(), id.trust_domain.clone());
        let external = External { socket, node, trust_domain, certificate, bundle, status };
        tokio::task::spawn_local(external.run());
        return Ok(());
    }
    let connector = xds::mesh_connector(&ca, main.mark)
        .map_err(|e: connect::ConnectError| BootError::Xds(e.to_string()))?;
    let trust = Trust::new(id.trust_domain.clone(), Some(ca.roots), bundle.clone());
    *main.trust.borrow_mut() = Some(trust.clone());
    let issuer: Arc<dyn Issuer> =
        Arc::new(CaClient::new(connector.channel(), token, main.cluster_id.clone()));
    let own = Rotation { issuer, id, ttl, certificate, trust, copy: None, status };
    if let Some(socket) = socket {
        give(main, &socket, &own)?;
    }
    tokio::task::spawn_local(own.run());
    Ok(())
}

/// Gives identity away at a socket: a certificate like `own`, with a key of its own.
fn give(main: &Main, socket: &Path, own: &Rotation) -> Result<(), BootError> {
    let listener =
        workload::bind(socket).map_err(|source| BootError::Socket { path: socket.to_owned(), source })?;
    let (svid, given) = (Watched::empty(), Watched::empty());
    *main.given.borrow_mut() = Some(given.clone());
    let rotation = Rotation {
        issuer: Arc::clone(&own.issuer),
        id: own.id.clone(),
        ttl: own.ttl,
        certificate: given,
        trust: own.trust.clone(),
        copy: Some(svid.clone()),
        status: Watched::empty(),
    };
    let wanted = Arc::new(Notify::new());
    let asked = Arc::clone(&wanted);
    tokio::task::spawn_local(async move {
        asked.notified().await;
        rotation.run().await;
    });
    let begin = Arc::new(move || wanted.notify_one());
    let identity =
        Identity { svid, bundle: main.secrets.bundle(MESH_ROOTS), begin, audit: main.audit.clone() };
    tokio::task::spawn_local(workload::serve(listener, identity));
    Ok(())
}

/// The socket that identity comes from in place of the CA: the configured one, then the well-known one, if somebody listens there.
fn external<'a>(
    configured: Option<&'a Path>,
    well_known: &'a Path,
    is_served: impl Fn(&Path) -> bool,
) -> Option<&'a Path> {
    [configured, Some(well_known)].into_iter().flatten().find(|path| is_served(path))
}

/// Whether somebody listens at a socket.
fn is_served(path: &Path) -> bool {
    UnixStream::connect(path).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configured_socket_comes_before_the_well_known_one() {
        let dir = tempfile::tempdir().unwrap();
        let (own, known) = (dir.path().join("own"), dir.path().join("known"));
        let found = || external(Some(&own), &known, is_served);
        assert_eq!(found(), None, "the CA");
        let _known = std::os::unix::net::UnixListener::bind(&known).unwrap();
        assert_eq!(found(), Some(&*known));
        assert_eq!(external(None, &known, is_served), Some(&*known));
        let _own = std::os::unix::net::UnixListener::bind(&own).unwrap();
        assert_eq!(found(), Some(&*own));
    }
}
