//! Certificates of gateways (SDS), over an authenticated stream: the Secrets of the gateway's own namespace by
//! `kubernetes://NAME`, to whoever asks; others by `kubernetes-gateway://NAMESPACE/NAME`, to gateways whose listeners name them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use tulle_api::Object;
use tulle_api::kubernetes::Secret as Document;
use tulle_mesh::NsName;
use tulle_mesh::gateway::GATEWAY_SECRET;
use tulle_proto::Message as _;
use tulle_proto::envoy::core::{DataSource, data_source};
use tulle_proto::envoy::tls::{CertificateValidationContext, Secret, TlsCertificate, secret};
use tulle_proto::type_url;
use tulle_translate::{Kind, Proxy};
use tulle_xds::Resource;
use tulle_xds::server::{Hub, Layers, TypeId};

use crate::press::of_nothing;
use crate::sets::{Made, Published};

/// What the name of a Secret with authorities ends with.
const CA_SUFFIX: &str = "-cacert";

/// The Secrets that gateways may ask for, by namespace.
pub(crate) struct Secrets {
    kind: TypeId,
    by_namespace: HashMap<String, Published>,
    /// Under the names by which gateways of other namespaces ask.
    by_name: HashMap<NsName, Vec<Arc<Resource>>>,
    /// By namespace and Secret, the authorities in it.
    roots: HashMap<NsName, CertificateValidationContext>,
    /// What those get who may not ask.
    nothing: Published,
}

impl Secrets {
    pub(crate) fn new(hub: &Hub, kind: TypeId) -> Self {
        let nothing = Published::new(hub, kind, None);
        Self { kind, by_namespace: HashMap::new(), by_name: HashMap::new(), roots: HashMap::new(), nothing }
    }

    /// Takes in a Secret that is new, changed or (`there` is false) gone.
    pub(crate) fn change(&mut self, hub: &Hub, object: &Object, there: bool, at: Instant) {
        let Some(document) = object.get::<Document>() else { return };
        let name = &object.meta.name;
        let namespace = object.meta.namespace.clone();
        let full = NsName::new(namespace.clone(), name.clone());
        let set = self.by_namespace.entry(namespace).or_insert_with(|| Published::new(hub, self.kind, None));
        let (certificate, roots) = if there { read(document) } else { (None, None) };
        match roots {
            Some(roots) => drop(self.roots.insert(full.clone(), roots)),
            None => drop(self.roots.remove(&full)),
        }
        let roots_of = |secret: &str| {
            let found = self.roots.get(&NsName::new(full.namespace.clone(), secret.to_owned()));
            found.cloned().map(secret::Type::ValidationContext)
        };
        // Authorities are asked for as `NAME-cacert`: a Secret of that name, or those in the Secret `NAME` (as Istio finds them).
        let made = match name.strip_suffix(CA_SUFFIX) {
            Some(base) => vec![("", roots_of(name).or_else(|| roots_of(base)))],
            None => {
                let apart = roots_of(&format!("{name}{CA_SUFFIX}"));
                let certificate = certificate.map(secret::Type::TlsCertificate);
                vec![("", certificate), (CA_SUFFIX, apart.or_else(|| roots_of(name)))]
            }
        };
        let mut elsewhere = Vec::new();
        for (suffix, made) in made {
            let own = format!("kubernetes://{name}{suffix}");
            elsewhere
                .extend(made.clone().map(|made| resource(format!("{GATEWAY_SECRET}{full}{suffix}"), made)));
            let made = made.map(|made| of_nothing(resource(own.clone(), made)));
            set.set(hub, &own, made, at, &mut |_, _| {});
        }
        if elsewhere.is_empty() {
            self.by_name.remove(&full);
        } else {
            self.by_name.insert(full, elsewhere);
        }
    }

    /// The Secrets of `names`, under the names by which gateways of other namespaces ask.
    pub(crate) fn named(&self, names: &[NsName]) -> Vec<Made> {
        names.iter().filter_map(|name| self.by_name.get(name)).flatten().cloned().map(of_nothing).collect()
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

fn resource(name: String, made: secret::Type) -> Arc<Resource> {
    let message = Secret { name: name.clone(), r#type: Some(made) };
    Arc::new(Resource::new(type_url::SECRET, &*name, message.to_wire().into()))
}

/// Certificate with key (`tls.crt`, `tls.key`, or `cert` and `key`), and roots (`ca.crt` or `cacert`) with what is revoked (`ca.crl`),
/// as Istio reads them.
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
        crl: value(["ca.crl", "crl"]).map(source),
        ..CertificateValidationContext::default()
    });
    (certificate, roots)
}
