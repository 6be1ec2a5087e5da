//! The store as everybody uses it: what Kubernetes' API server fills in when an object is written is filled in here.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::Value;
use tulle_api::Kind;
use tulle_api::kubernetes::{Service, ServiceType};
use tulle_api::{Object, Resource as _};
use tulle_base::ResourceRef;
use tulle_store::{Answer, Filter, Listing, LocalStore, Precondition, Store, Version, Watch};

use crate::net::ipam::Ipam;

/// A store in which every service has its address from the moment it is written. A service keeps it over every edit, so that
/// no listener is lost because a manifest that does not name the address was read again.
#[derive(Debug)]
pub struct Admitting {
    inner: Arc<dyn LocalStore>,
    addresses: Mutex<Ipam>,
}

impl Admitting {
    /// Over `inner`, with service addresses from `addresses`. Services that are there keep theirs.
    pub fn new(inner: Arc<dyn LocalStore>, mut addresses: Ipam) -> Self {
        for object in inner.list_now(&Filter::kinds(&[Kind::Service])).objects {
            if let Some(address) = object.get::<Service>().and_then(|s| s.cluster_ip.parse().ok()) {
                addresses.take(address);
            }
        }
        Self { inner, addresses: Mutex::new(addresses) }
    }

    /// The store beneath.
    pub fn inner(&self) -> &dyn LocalStore {
        &*self.inner
    }

    /// Writes an object, as [`Store::put`].
    ///
    /// # Errors
    /// As [`Store::put`].
    pub fn put_now(&self, mut object: Object) -> Result<Arc<Object>, tulle_store::StoreError> {
        self.admit(&mut object);
        self.inner.put_now(object)
    }

    /// Deletes an object, as [`Store::delete`].
    ///
    /// # Errors
    /// As [`Store::delete`].
    pub fn delete_now(&self, resource: &ResourceRef) -> Result<Option<Arc<Object>>, tulle_store::StoreError> {
        let gone = self.inner.delete_now(resource, &Precondition::default())?;
        if let Some(gone) = &gone {
            self.release(gone);
        }
        Ok(gone)
    }

    fn release(&self, gone: &Object) {
        if let Some(address) = gone.get::<Service>().and_then(|s| s.cluster_ip.parse().ok()) {
            self.lock().release(address);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Ipam> {
        self.addresses.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn admit(&self, object: &mut Object) {
        let Some(service) = object.get::<Service>() else { return };
        if service.is_headless() || service.kind_of_service() == ServiceType::ExternalName {
            return;
        }
        let current = self.inner.get_now(&object.resource());
        let current = current.as_ref().and_then(|o| o.get::<Service>()).map(|s| s.cluster_ip.clone());
        let mut service = service.clone();
        let Some(address) = self.choose(&service.cluster_ip, current.as_deref().unwrap_or_default()) else {
            tracing::error!(service = %object.resource(), "no service addresses are left");
            return;
        };
        service.cluster_ip = address.to_string();
        service.cluster_ips = vec![address.to_string()];
        object.spec = service.into_spec();
    }

    /// The address asked for, else the one it has, else a free one.
    fn choose(&self, asked: &str, current: &str) -> Option<Ipv4Addr> {
        let mut addresses = self.lock();
        let asked: Option<Ipv4Addr> = asked.parse().ok();
        let current: Option<Ipv4Addr> = current.parse().ok();
        match (asked, current) {
            (Some(asked), current) if Some(asked) == current => current,
            (Some(asked), current) => {
                // An address of another range (a manifest from a real cluster) works as well; one that is taken does not.
                if addresses.take(asked) || !addresses.covers(asked) {
                    if let Some(current) = current {
                        addresses.release(current);
                    }
                    Some(asked)
                } else {
                    tracing::warn!(%asked, "clusterIP is taken; another one is given");
                    current.or_else(|| addresses.allocate())
                }
            }
            (None, Some(current)) => Some(current),
            (None, None) => addresses.allocate(),
        }
    }
}

impl Store for Admitting {
    fn get<'a>(&'a self, resource: &'a ResourceRef) -> Answer<'a, Option<Arc<Object>>> {
        self.inner.get(resource)
    }

    fn list(&self, filter: Filter) -> Answer<'_, Listing> {
        self.inner.list(filter)
    }

    fn put(&self, mut object: Object) -> Answer<'_, Arc<Object>> {
        self.admit(&mut object);
        self.inner.put(object)
    }

    fn put_status_if<'a>(
        &'a self,
        resource: &'a ResourceRef,
        status: Value,
        only_if: Precondition,
    ) -> Answer<'a, Arc<Object>> {
        self.inner.put_status_if(resource, status, only_if)
    }

    fn delete_if<'a>(
        &'a self,
        resource: &'a ResourceRef,
        only_if: Precondition,
    ) -> Answer<'a, Option<Arc<Object>>> {
        Box::pin(async move {
            let gone = self.inner.delete_if(resource, only_if).await?;
            if let Some(gone) = &gone {
                self.release(gone);
            }
            Ok(gone)
        })
    }

    fn watch(&self, filter: Filter, from: Version) -> Answer<'_, Watch> {
        self.inner.watch(filter, from)
    }
}
