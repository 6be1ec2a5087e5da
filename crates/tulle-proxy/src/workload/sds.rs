//! `envoy.service.secret.v3.SecretDiscoveryService`: certificate, key and roots for a proxy that is not ours.

use std::sync::Arc;
use std::time::Instant;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use tokio::sync::mpsc;
use tulle_identity::secrets::{MESH_ROOTS, OWN_CERTIFICATE};
use tulle_identity::{Svid, TrustBundle};
use tulle_proto::Message as _;
use tulle_proto::envoy::core::{DataSource, data_source};
use tulle_proto::envoy::tls::{CertificateValidationContext, Secret, TlsCertificate, secret};
use tulle_proto::type_url;
use tulle_xds::server::{
    AdsService, Catalog, Change, Hub, HubEvent, Layers, Limits, SetId, StreamOptions, TypeConfig,
};
use tulle_xds::{Resource, wire};
use zeroize::Zeroizing;

use super::Identity;

/// What paths of its methods begin with.
pub(super) const SERVICE: &str = "/envoy.service.secret.v3.SecretDiscoveryService/";
/// Streams at a time.
const MAX_STREAMS: usize = 256;

/// The path of the aggregated method that does the same.
pub(super) fn path_of(method: &str) -> Option<&'static str> {
    match method {
        "StreamSecrets" => Some(wire::SOTW_PATH),
        "DeltaSecrets" => Some(wire::DELTA_PATH),
        _ => None,
    }
}

/// Starts the tasks that serve secrets and keep them new.
pub(super) fn start(identity: &Identity) -> AdsService {
    let catalog = Catalog::new(vec![TypeConfig::independent(type_url::SECRET)]);
    let limits = Limits { names: 64, ..Limits::default() };
    let (hub, events) = Hub::start(catalog, limits, MAX_STREAMS, "tulle");
    let service = AdsService::new(&hub);
    if let Some(kind) = hub.catalog().find(type_url::SECRET) {
        let set = hub.create_set(kind);
        tokio::spawn(keep(hub, events, set, identity.clone()));
    }
    service
}

async fn keep(hub: Hub, mut events: mpsc::UnboundedReceiver<HubEvent>, set: SetId, identity: Identity) {
    let (mut svids, mut bundles) = (0, 0);
    loop {
        tokio::select! {
            event = events.recv() => match event {
                Some(HubEvent::Opening { stream, protocol, .. }) => {
                    let options = StreamOptions { protocol, rewarm: false };
                    hub.admit(stream, options, vec![Layers::from([set])]);
                }
                Some(_) => {}
                None => return,
            },
            version = identity.bundle.changed_since(bundles) => {
                bundles = version;
                if let Some(bundle) = identity.bundle.get() {
                    hub.update(set, roots(&bundle), Instant::now());
                }
            }
            version = identity.svid.changed_since(svids) => {
                svids = version;
                if let Some(svid) = identity.svid.get() {
                    hub.update(set, certificate(&svid), Instant::now());
                }
            }
        }
    }
}

/// Under Istio's name, and under the trust domain's.
fn roots(bundle: &TrustBundle) -> Vec<Change> {
    let mut all = Vec::new();
    for (i, (domains, roots)) in bundle.by_domain().enumerate() {
        let own = (i == 0).then(|| MESH_ROOTS.to_owned());
        for name in own.into_iter().chain(domains.iter().map(|d| format!("spiffe://{d}"))) {
            let context = CertificateValidationContext {
                trusted_ca: Some(text(pem("CERTIFICATE", roots))),
                ..CertificateValidationContext::default()
            };
            all.push(put(name, secret::Type::ValidationContext(context)));
        }
    }
    all
}

/// Under Istio's name, and under its SPIFFE id.
fn certificate(svid: &Svid) -> Vec<Change> {
    let key = Zeroizing::new(pem("PRIVATE KEY", &[&svid.key[..]]));
    let one = |name: &str| {
        let certificate = TlsCertificate {
            certificate_chain: Some(text(pem("CERTIFICATE", &svid.chain))),
            private_key: Some(text(key.to_string())),
            ..TlsCertificate::default()
        };
        put(name.to_owned(), secret::Type::TlsCertificate(certificate))
    };
    vec![one(OWN_CERTIFICATE), one(&svid.id)]
}

fn put(name: String, kind: secret::Type) -> Change {
    let message = Secret { name: name.clone(), r#type: Some(kind) };
    Change::Put(Arc::new(Resource::new(type_url::SECRET, &*name, message.to_wire().into())))
}

fn text(text: String) -> DataSource {
    DataSource { specifier: Some(data_source::Specifier::InlineString(text)), ..DataSource::default() }
}

/// RFC 7468.
fn pem<T: AsRef<[u8]>>(label: &str, all: &[T]) -> String {
    let mut out = String::new();
    for der in all {
        let encoded = BASE64_STANDARD.encode(der.as_ref());
        out.push_str(&format!("-----BEGIN {label}-----\n"));
        let mut rest = encoded.as_str();
        while !rest.is_empty() {
            let (line, more) = rest.split_at(rest.len().min(64));
            out.push_str(line);
            out.push('\n');
            rest = more;
        }
        out.push_str(&format!("-----END {label}-----\n"));
    }
    out
}
