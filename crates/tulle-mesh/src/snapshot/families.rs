//! Pods of both address families are in slices of both, and are one endpoint all the same.

use std::collections::HashMap;

use crate::endpoint::Endpoint;
use crate::meta::NsName;
use crate::service::Service;

/// Brings the addresses of a pod together: that of the service's first family is the one to use, the other one comes with it.
pub(super) fn one_per_pod(service: &Service, mut endpoints: Vec<Endpoint>) -> Vec<Endpoint> {
    let sixes = endpoints.iter().filter(|e| is_v6(&e.address)).count();
    if sixes == 0 || sixes == endpoints.len() {
        return endpoints;
    }
    let first_is_v6 = service.addresses.first().is_some_and(|a| is_v6(a));
    endpoints.sort_by_key(|e| is_v6(&e.address) != first_is_v6);
    let mut seen: HashMap<(NsName, u16), usize> = HashMap::new();
    let mut out: Vec<Endpoint> = Vec::new();
    for endpoint in endpoints {
        let key = endpoint.workload.as_ref().map(|w| (w.pod.clone(), endpoint.port));
        let earlier = key.as_ref().and_then(|key| seen.get(key)).and_then(|at| out.get_mut(*at));
        match earlier {
            Some(earlier) if is_v6(&earlier.address) != is_v6(&endpoint.address) => {
                if !earlier.more.contains(&endpoint.address) {
                    earlier.more.push(endpoint.address);
                }
            }
            _ => {
                seen.extend(key.map(|key| (key, out.len())));
                out.push(endpoint);
            }
        }
    }
    out
}

fn is_v6(address: &str) -> bool {
    address.contains(':')
}
