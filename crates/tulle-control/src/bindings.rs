//! What tokens may be bound to: the pods and service accounts that exist.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

use tulle_api::{Kind, Object};
use tulle_ca::{Bindings, TokenSubject};

/// Namespace and name.
type Key = (String, String);

#[derive(Default)]
struct Known {
    synced: bool,
    pods: HashMap<Key, String>,
    accounts: HashMap<Key, String>,
}

/// The uids of pods and service accounts.
#[derive(Default)]
pub(crate) struct Accounts(RwLock<Known>);

impl Accounts {
    /// Takes in an object that is new or changed.
    pub(crate) fn put(&self, object: &Object) {
        self.change(object, |map, key| drop(map.insert(key, object.meta.uid.clone())));
    }

    /// Takes out an object that is gone.
    pub(crate) fn delete(&self, object: &Object) {
        self.change(object, |map, key| drop(map.remove(&key)));
    }

    /// Everything that exists is known from now on.
    pub(crate) fn synced(&self) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).synced = true;
    }

    fn change(&self, object: &Object, change: impl FnOnce(&mut HashMap<Key, String>, Key)) {
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let map = match object.kind() {
            Kind::Pod => &mut known.pods,
            Kind::ServiceAccount => &mut known.accounts,
            _ => return,
        };
        change(map, (object.meta.namespace.clone(), object.meta.name.clone()));
    }
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
            if found.is_none_or(|found| !uid.is_empty() && found != uid) {
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
    use tulle_api::kubernetes::PodSpec;

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
