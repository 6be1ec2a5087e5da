//! Certificates of gateways (SDS): Secrets of the gateway's own namespace, over an authenticated stream, to whoever asks by name.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use prost::Message;
use tulle_api::Object;
use tulle_api::kubernetes::Secret as Document;
use tulle_proto::envoy::core::{DataSource, data_source};
use tulle_proto::envoy::tls::{CertificateValidationContext, Secret, TlsCertificate, secret};
use tulle_proto::type_url;
use tulle_translate::{Kind, Proxy};
use tulle_xds::Resource;
use tulle_xds::server::{Hub, Layers, TypeId};

use crate::press::of_nothing;
use crate::sets::Published;

/// The Secrets that gateways may ask for, by namespace.
pub(crate) struct Secrets {
    kind: TypeId,
    by_namespace: HashMap<String, Published>,
    /// What those get who may not ask.
    nothing: Published,
}

impl Secrets {
    pub(crate) fn new(hub: &Hub, kind: TypeId) -> Self {
        Self { kind, by_namespace: HashMap::new(), nothing: Published::new(hub, kind, None) }
    }

    /// Takes in a Secret that is new, changed or (`there` is false) gone.
    pub(crate) fn change(&mut self, hub: &Hub, object: &Object, there: bool, at: Instant) {
        let Some(document) = object.get::<Document>() else { return };
        let name = &object.meta.name;
        let namespace = object.meta.namespace.clone();
        let set = self.by_namespace.entry(namespace).or_insert_with(|| Published::new(hub, self.kind, None));
        let (certificate, roots) = if there { read(document) } else { (None, None) };
        for (name, made) in [
            (format!("kubernetes://{name}"), certificate.map(secret::Type::TlsCertificate)),
            (format!("kubernetes://{name}-cacert"), roots.map(secret::Type::ValidationContext)),
        ] {
            let resource = made.map(|made| {
                let message = Secret { name: name.clone(), r#type: Some(made) };
                Arc::new(Resource::new(type_url::SECRET, &*name, message.encode_to_vec().into()))
            });
            set.set(hub, &name, resource.map(of_nothing), at, &mut |_, _| {});
        }
    }

    /// What a proxy may ask for: a gateway whose identity is certain, the Secrets of its namespace; anybody else, nothing.
    pub(crate) fn layers(&mut self, hub: &Hub, proxy: &Proxy, authenticated: bool) -> Layers {
        let set = if authenticated && proxy.kind == Kind::Router {
            let namespace = proxy.namespace().to_owned();
            self.by_namespace.entry(namespace).or_insert_with(|| Published::new(hub, self.kind, None))
        } else {
            &self.nothing
        };
        Layers::from([set.id])
    }
}

/// Certificate with key (`tls.crt`, `tls.key`, or `cert` and `key`), and roots (`ca.crt` or `cacert`), as Istio reads them.
fn read(document: &Document) -> (Option<TlsCertificate>, Option<CertificateValidationContext>) {
    let value = |names: [&str; 2]| {
        let one = |name: &str| {
            let text = document.string_data.get(name).map(|s| s.as_bytes().to_vec());
            text.or_else(|| document.data.get(name).map(|b| b.0.clone())).filter(|v| !v.is_empty())
        };
        one(names[0]).or_else(|| one(names[1]))
    };
    let source = |bytes: Vec<u8>| DataSource {
        specifier: Some(data_source::Specifier::InlineBytes(bytes)),
        ..DataSource::default()
    };
    let pair = value(["tls.crt", "cert"]).zip(value(["tls.key", "key"]));
    let certificate = pair.map(|(chain, key)| TlsCertificate {
        certificate_chain: Some(source(chain)),
        private_key: Some(source(key)),
        ..TlsCertificate::default()
    });
    let roots = value(["ca.crt", "cacert"]).map(|roots| CertificateValidationContext {
        trusted_ca: Some(source(roots)),
        ..CertificateValidationContext::default()
    });
    (certificate, roots)
}
