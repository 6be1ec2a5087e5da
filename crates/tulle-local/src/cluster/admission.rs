//! The store as everybody uses it: what Kubernetes' API server fills in when an object is written is filled in here.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::Value;
use tulle_api::Kind;
use tulle_api::kubernetes::{Service, ServiceType};
use tulle_api::{Object, Resource as _};
use tulle_base::ResourceRef;
use tulle_store::{
    Answer, Filter, Listing, LocalStore, Precondition, Refusal, Store, StoreError, Version, Watch,
};

use super::families::{cluster_ips, decide, families};
use crate::net::ipam::Ipam;
use crate::net::{Addresses, Family, Network};

/// A store in which every service has its addresses from the moment it is written. A service keeps them over every edit, so
/// that no listener is lost because a manifest that does not name the address was read again.
#[derive(Debug)]
pub struct Admitting {
    inner: Arc<dyn LocalStore>,
    mesh: Addresses,
    pools: Mutex<Vec<Ipam>>,
}

impl Admitting {
    /// Over `inner`, with service addresses of `mesh`. Services that are there keep theirs.
    pub fn new(inner: Arc<dyn LocalStore>, mesh: Addresses) -> Self {
        let mut pools: Vec<Ipam> = mesh.all().map(Network::service_addresses).collect();
        for object in inner.list_now(&Filter::kinds(&[Kind::Service])).objects {
            for address in object.get::<Service>().map(cluster_ips).unwrap_or_default() {
                for pool in &mut pools {
                    pool.take(address);
                }
            }
        }
        Self { inner, mesh, pools: Mutex::new(pools) }
    }

    /// The store beneath.
    pub fn inner(&self) -> &dyn LocalStore {
        &*self.inner
    }

    /// Writes an object, as [`Store::put`].
    ///
    /// # Errors
    /// As [`Store::put`].
    pub fn put_now(&self, mut object: Object) -> Result<Arc<Object>, StoreError> {
        self.admit(&mut object)?;
        self.inner.put_now(object)
    }

    /// Deletes an object, as [`Store::delete`].
    ///
    /// # Errors
    /// As [`Store::delete`].
    pub fn delete_now(&self, resource: &ResourceRef) -> Result<Option<Arc<Object>>, StoreError> {
        let gone = self.inner.delete_now(resource, &Precondition::default())?;
        if let Some(gone) = &gone {
            self.release(gone);
        }
        Ok(gone)
    }

    fn release(&self, gone: &Object) {
        let mut pools = self.lock();
        for address in gone.get::<Service>().map(cluster_ips).unwrap_or_default() {
            pools.iter_mut().for_each(|pool| pool.release(address));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Ipam>> {
        self.pools.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn admit(&self, object: &mut Object) -> Result<(), StoreError> {
        let Some(service) = object.get::<Service>() else { return Ok(()) };
        if service.kind_of_service() == ServiceType::ExternalName {
            return Ok(());
        }
        let resource = object.resource();
        let old = self.inner.get_now(&resource);
        let old = old.as_ref().and_then(|o| o.get::<Service>());
        let mut service = service.clone();
        decide(&mut service, old, self.mesh)
            .map_err(|reason| StoreError::Invalid { resource: resource.clone(), reason })?;
        if service.is_headless() {
            service.cluster_ips = vec![service.cluster_ip.clone()];
        } else {
            let addresses = self.choose(&service, old.map(cluster_ips).unwrap_or_default());
            let Some(addresses) = addresses else {
                return Err(StoreError::Invalid { resource, reason: Refusal::NoAddress });
            };
            service.cluster_ips = addresses.iter().map(ToString::to_string).collect();
            service.cluster_ip = service.cluster_ips.first().cloned().unwrap_or_default();
        }
        object.spec = service.into_spec();
        Ok(())
    }

    /// An address for each family of a service that has had `current`; `None` when a range is used up.
    fn choose(&self, service: &Service, current: Vec<IpAddr>) -> Option<Vec<IpAddr>> {
        let asked = cluster_ips(service);
        let mut pools = self.lock();
        let mut chosen = Vec::new();
        for family in families(service) {
            let of = |all: &[IpAddr]| all.iter().copied().find(|ip| Family::of(*ip) == family);
            let pool = pools.iter_mut().find(|p| p.range().family() == family)?;
            chosen.push(choose_one(pool, of(&asked), of(&current))?);
        }
        for left in current.iter().filter(|ip| !chosen.contains(ip)) {
            pools.iter_mut().for_each(|pool| pool.release(*left));
        }
        Some(chosen)
    }
}

/// The address asked for, else the one it has, else a free one.
fn choose_one(pool: &mut Ipam, asked: Option<IpAddr>, current: Option<IpAddr>) -> Option<IpAddr> {
    match (asked, current) {
        (Some(asked), current) if Some(asked) == current => current,
        // An address of another range (a manifest from a real cluster) works as well; one that is taken does not.
        (Some(asked), _) if !pool.range().contains(asked) || pool.take(asked) => Some(asked),
        (Some(asked), current) => {
            tracing::warn!(%asked, "clusterIP is taken; another one is given");
            current.or_else(|| pool.allocate())
        }
        (None, current) => current.or_else(|| pool.allocate()),
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
        match self.admit(&mut object) {
            Ok(()) => self.inner.put(object),
            Err(refused) => Box::pin(std::future::ready(Err(refused))),
        }
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
