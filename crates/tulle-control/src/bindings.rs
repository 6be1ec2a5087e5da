//! What tokens may be bound to: the pods and service accounts that exist.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

use tulle_api::kubernetes::PodSpec;
use tulle_api::{Kind, Object};
use tulle_ca::{Bindings, Holding, TokenSubject};

/// Name of the proxy's container.
const PROXY: &str = "istio-proxy";

/// Namespace and name.
type Key = (String, String);

#[derive(Default)]
struct Known {
    synced: bool,
    pods: HashMap<Key, Pod>,
    accounts: HashMap<Key, String>,
}

#[derive(Clone, Debug)]
struct Pod {
    uid: String,
    /// Whether it is running, and has a proxy.
    proxied: bool,
}

/// The uids of pods and service accounts.
#[derive(Default)]
pub(crate) struct Accounts(RwLock<Known>);

impl Accounts {
    /// Takes in an object that is new or changed.
    pub(crate) fn put(&self, object: &Object) {
        let (key, uid) = (key(object), object.meta.uid.clone());
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        match object.kind() {
            Kind::Pod => drop(known.pods.insert(key, Pod { uid, proxied: is_proxied(object) })),
            Kind::ServiceAccount => drop(known.accounts.insert(key, uid)),
            _ => {}
        }
    }

    /// Takes out an object that is gone.
    pub(crate) fn delete(&self, object: &Object) {
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        match object.kind() {
            Kind::Pod => drop(known.pods.remove(&key(object))),
            Kind::ServiceAccount => drop(known.accounts.remove(&key(object))),
            _ => {}
        }
    }

    /// Everything that exists is known from now on.
    pub(crate) fn synced(&self) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).synced = true;
    }

    /// Running pods that have a proxy.
    pub(crate) fn proxies(&self) -> Vec<Key> {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        known.pods.iter().filter(|(_, pod)| pod.proxied).map(|(key, _)| key.clone()).collect()
    }

    /// Whether somebody may still use a certificate: one of a pod that is gone went with it.
    pub(crate) fn may_hold(&self, holding: &Holding) -> bool {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        match &holding.pod {
            Some(pod) => known.pods.get(pod).is_some_and(|p| holding.uid.is_empty() || p.uid == holding.uid),
            None => true,
        }
    }
}

fn key(object: &Object) -> Key {
    (object.meta.namespace.clone(), object.meta.name.clone())
}

fn is_proxied(pod: &Object) -> bool {
    let phase = pod.status.as_ref().and_then(|s| s["phase"].as_str());
    let Some(spec) = pod.get::<PodSpec>() else { return false };
    let mut containers = spec.init_containers.iter().chain(&spec.containers);
    phase == Some("Running") && containers.any(|c| c.name == PROXY)
}

impl Bindings for Accounts {
    fn check(&self, subject: &TokenSubject) -> Result<(), String> {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        if !known.synced {
            return Err("the pods are not known yet; try again".to_owned());
        }
        let TokenSubject { namespace, service_account, service_account_uid, pod } = subject;
        if let Some((name, uid)) = pod {
            let found = known.pods.get(&(namespace.clone(), name.clone()));
            if found.is_none_or(|found| !uid.is_empty() && found.uid != *uid) {
                return Err(format!("pod {namespace}/{name} with uid {uid}"));
            }
        }
        let account = known.accounts.get(&(namespace.clone(), service_account.clone()));
        match (account, service_account_uid) {
            (Some(found), Some(uid)) if found != uid => {
                Err(format!("service account {namespace}/{service_account} with uid {uid}"))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_dies_with_its_pod() {
        let accounts = Accounts::default();
        let subject = TokenSubject {
            namespace: "shop".into(),
            service_account: "cart".into(),
            service_account_uid: None,
            pod: Some(("cart-0".into(), "u1".into())),
        };
        assert!(accounts.check(&subject).unwrap_err().contains("not known yet"));
        accounts.synced();
        assert!(accounts.check(&subject).is_err());
        let mut pod = Object::new("shop", "cart-0", PodSpec::default());
        pod.meta.uid = "u1".into();
        accounts.put(&pod);
        assert_eq!(accounts.check(&subject), Ok(()));
        pod.meta.uid = "u2".into();
        accounts.put(&pod);
        assert!(accounts.check(&subject).is_err());
        accounts.delete(&pod);
        assert!(accounts.check(&subject).is_err());
    }
}
