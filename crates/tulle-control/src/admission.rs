//! Which streams are let in.

use tonic::Status;
use tulle_base::SpiffeId;
use tulle_identity::PeerIdentity;
use tulle_proto::Message as _;
use tulle_proto::envoy::core::Node;
use tulle_translate::{NodeError, Proxy};
use tulle_xds::server::Peer;

/// Largest node that is read; Istio's is a few KiB.
const MAX_NODE: usize = 256 << 10;

/// Why a stream is refused. The texts go to the client.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refused {
    /// The node is none.
    #[error("the node cannot be read: {0}")]
    Unreadable(&'static str),
    /// The node is not one of the mesh's proxies.
    #[error(transparent)]
    Node(#[from] NodeError),
    /// On the TLS port everybody has to say who it is.
    #[error("discovery over TLS takes a client certificate; get one from the CA first")]
    NoCertificate,
    /// The certificate names no workload of the mesh.
    #[error("the client certificate names no workload of trust domain {0}")]
    NoIdentity(String),
    /// The certificate is somebody else's.
    #[error("the client certificate is {certificate}'s, but the node says {node}")]
    SomebodyElse {
        /// Who the certificate names.
        certificate: String,
        /// Who the node claims to be.
        node: String,
    },
}

impl From<Refused> for Status {
    fn from(refused: Refused) -> Self {
        let text = refused.to_string();
        match refused {
            Refused::Unreadable(_) | Refused::Node(_) => Status::invalid_argument(text),
            Refused::NoCertificate => Status::unauthenticated(text),
            Refused::NoIdentity(_) | Refused::SomebodyElse { .. } => Status::permission_denied(text),
        }
    }
}

/// Reads the node and holds it against the client certificate. A stream in the clear has none: whoever can reach that port is
/// told what any proxy may know, and that is not secret.
pub(crate) fn admit(
    node: &[u8],
    peer: &Peer,
    trust_domain: &str,
    aliases: &[String],
) -> Result<Proxy, Refused> {
    if node.len() > MAX_NODE {
        return Err(Refused::Unreadable("it is too large"));
    }
    let node = Node::from_wire(node).map_err(|_| Refused::Unreadable("it is not a Node message"))?;
    let proxy = Proxy::from_node(&node)?;
    if !peer.tls {
        return Ok(proxy);
    }
    let leaf = peer.certificate.as_ref().ok_or(Refused::NoCertificate)?;
    let chain = [leaf.as_ref().into()];
    let identity = PeerIdentity::read(&chain).ok().flatten().and_then(|i| i.spiffe);
    let certificate = identity.ok_or_else(|| Refused::NoIdentity(trust_domain.to_owned()))?;
    let claimed = SpiffeId::new(trust_domain, proxy.namespace(), &*proxy.service_account);
    let ours = certificate.trust_domain == trust_domain || aliases.contains(&certificate.trust_domain);
    let same = (&certificate.namespace, &certificate.service_account)
        == (&claimed.namespace, &claimed.service_account);
    match (ours, same) {
        (true, true) => Ok(proxy),
        (true, false) => {
            Err(Refused::SomebodyElse { certificate: certificate.to_string(), node: claimed.to_string() })
        }
        (false, _) => Err(Refused::NoIdentity(trust_domain.to_owned())),
    }
}

/// Who the client certificate says is there; empty without one.
pub(crate) fn principal(peer: &Peer) -> String {
    let leaf = peer.certificate.as_ref().map(|leaf| [leaf.as_ref().into()]);
    let identity = leaf.and_then(|chain| PeerIdentity::read(&chain).ok().flatten());
    identity.and_then(|i| i.principal().map(ToString::to_string)).unwrap_or_default()
}
