//! Clusters whose endpoints have host names: asks DNS again and again and tells the main thread what changed.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tulle_base::backoff::Backoff;
use tulle_engine::runtime::cluster::{Cluster, Discovery, DnsFamily, DnsSettings};
use tulle_engine::runtime::endpoint::{Endpoint, EndpointSet, LocalityEndpoints};
use tulle_engine::runtime::net::Address;

/// How long one question may take.
const TIMEOUT: Duration = Duration::from_secs(5);

/// What DNS said about a cluster.
#[derive(Debug)]
pub(crate) struct Resolved {
    /// The cluster.
    pub(crate) cluster: Arc<str>,
    /// Its endpoints, addresses only.
    pub(crate) endpoints: Arc<EndpointSet>,
}

/// The task that keeps one cluster's addresses fresh; stops when dropped.
#[derive(Debug)]
pub(crate) struct Resolver(JoinHandle<()>);

impl Drop for Resolver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Starts resolving `cluster`, if it is one that needs it.
pub(crate) fn start(cluster: &Arc<Cluster>, results: mpsc::Sender<Resolved>) -> Option<Resolver> {
    let (template, settings, only_one) = match &cluster.discovery {
        Discovery::StrictDns(template, settings) => (Arc::clone(template), *settings, false),
        Discovery::LogicalDns(template, settings) => (Arc::clone(template), *settings, true),
        Discovery::Static(_) | Discovery::Eds(_) | Discovery::OriginalDst(_) | Discovery::Forward(_) => {
            return None;
        }
    };
    let name = Arc::clone(&cluster.name);
    Some(Resolver(tokio::task::spawn_local(run(name, template, settings, only_one, results))))
}

async fn run(
    cluster: Arc<str>,
    template: Arc<EndpointSet>,
    settings: DnsSettings,
    only_one: bool,
    results: mpsc::Sender<Resolved>,
) {
    let mut backoff =
        Backoff::new(settings.failure_base.max(Duration::from_millis(100)), settings.failure_max);
    let mut last: Option<Vec<Vec<SocketAddr>>> = None;
    loop {
        let (answers, failed) = ask_all(&template, settings.family, only_one, last.as_deref()).await;
        if last.as_ref() != Some(&answers) {
            let endpoints = Arc::new(expand(&cluster, &template, &answers, only_one));
            if results.send(Resolved { cluster: Arc::clone(&cluster), endpoints }).await.is_err() {
                return;
            }
            last = Some(answers);
        }
        let wait = if failed {
            backoff.next(fastrand::f64()).max(Duration::from_millis(100))
        } else {
            backoff.reset();
            settings.refresh.max(Duration::from_millis(1)) + settings.jitter.mul_f64(fastrand::f64())
        };
        tokio::time::sleep(wait).await;
    }
}

/// The addresses of each endpoint of the template. One that cannot be resolved keeps those it had before.
async fn ask_all(
    template: &EndpointSet,
    family: DnsFamily,
    only_one: bool,
    before: Option<&[Vec<SocketAddr>]>,
) -> (Vec<Vec<SocketAddr>>, bool) {
    let (mut all, mut failed) = (Vec::with_capacity(template.endpoints.len()), false);
    for (index, endpoint) in template.endpoints.iter().enumerate() {
        let addresses = match &endpoint.address {
            Address::Ip(address) => Ok(vec![*address]),
            Address::Name(host, port) => ask(host, *port, family, only_one).await,
            Address::Pipe(_) => Ok(Vec::new()),
        };
        all.push(addresses.unwrap_or_else(|error| {
            tracing::debug!(%error, address = %endpoint.address, "name not resolved");
            failed = true;
            before.and_then(|b| b.get(index)).cloned().unwrap_or_default()
        }));
    }
    (all, failed)
}

async fn ask(host: &str, port: u16, family: DnsFamily, only_one: bool) -> std::io::Result<Vec<SocketAddr>> {
    let timed_out = |_| std::io::Error::from(std::io::ErrorKind::TimedOut);
    let found =
        tokio::time::timeout(TIMEOUT, tokio::net::lookup_host((host, port))).await.map_err(timed_out)??;
    // Sorted, so that another order in the answer is no change.
    let all: BTreeSet<IpAddr> = found.map(|a| a.ip()).collect();
    let mut wanted = of_family(&all, family);
    // One endpoint: of its addresses those of the other family stand by when both are wanted.
    if only_one && family != DnsFamily::All {
        wanted.truncate(1);
    }
    Ok(wanted.into_iter().map(|ip| SocketAddr::new(ip, port)).collect())
}

/// Those of `all` that are wanted, in the order of trying.
pub(crate) fn of_family(all: &BTreeSet<IpAddr>, family: DnsFamily) -> Vec<IpAddr> {
    let v4 = || all.iter().copied().filter(IpAddr::is_ipv4).collect::<Vec<_>>();
    let v6 = || all.iter().copied().filter(IpAddr::is_ipv6).collect::<Vec<_>>();
    let or = |first: Vec<IpAddr>, second: Vec<IpAddr>| if first.is_empty() { second } else { first };
    match family {
        DnsFamily::V4Only => v4(),
        DnsFamily::V6Only => v6(),
        DnsFamily::V6Preferred => or(v6(), v4()),
        DnsFamily::V4Preferred => or(v4(), v6()),
        DnsFamily::All => all.iter().copied().collect(),
    }
}

/// The template with each named endpoint replaced by its addresses: an endpoint for each, or one that has them all.
fn expand(
    cluster: &Arc<str>,
    template: &EndpointSet,
    answers: &[Vec<SocketAddr>],
    only_one: bool,
) -> EndpointSet {
    let mut endpoints: Vec<Arc<Endpoint>> = Vec::new();
    let mut localities = Vec::with_capacity(template.localities.len());
    for locality in &template.localities {
        let mut indices = Vec::new();
        for index in &locality.endpoints {
            let Some(original) = template.endpoints.get(*index as usize) else { continue };
            let found = answers.get(*index as usize).map_or(&[][..], Vec::as_slice);
            let (found, more) = if only_one { found.split_at(found.len().min(1)) } else { (found, &[][..]) };
            for address in found {
                indices.push(u32::try_from(endpoints.len()).unwrap_or(u32::MAX));
                let hostname = match (&original.address, original.hostname.is_empty()) {
                    (Address::Name(host, _), true) => Arc::clone(host),
                    _ => Arc::clone(&original.hostname),
                };
                let address = Address::Ip(*address);
                let mut additional_addresses = more.to_vec();
                if let Address::Ip(_) = original.address {
                    additional_addresses.extend(&original.additional_addresses);
                }
                let endpoint = Endpoint { address, additional_addresses, hostname, ..(**original).clone() };
                endpoints.push(Arc::new(endpoint));
            }
        }
        localities.push(LocalityEndpoints { endpoints: indices, ..locality.clone() });
    }
    EndpointSet { name: Arc::clone(cluster), endpoints, localities, ..template.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families() {
        let all: BTreeSet<IpAddr> = ["10.0.0.1", "::1", "10.0.0.2"].map(|a| a.parse().unwrap()).into();
        let text = |f| of_family(&all, f).iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(text(DnsFamily::V4Only), ["10.0.0.1", "10.0.0.2"]);
        assert_eq!(text(DnsFamily::V6Preferred), ["::1"]);
        assert_eq!(text(DnsFamily::V6Only), ["::1"]);
        assert_eq!(text(DnsFamily::V4Preferred), ["10.0.0.1", "10.0.0.2"]);
        assert_eq!(text(DnsFamily::All).len(), 3);
    }

    #[test]
    fn an_address_is_an_endpoint_or_one_of_several_of_it() {
        let named = Endpoint {
            address: Address::Name("app.test".into(), 80),
            additional_addresses: Vec::new(),
            hostname: "".into(),
            weight: 1,
            health: Default::default(),
            locality: Arc::default(),
            priority: 0,
            transport_socket_match: Default::default(),
            lb: Default::default(),
            workload: None,
            metadata: Arc::default(),
            check: None,
        };
        let template = EndpointSet {
            name: "c".into(),
            endpoints: vec![Arc::new(named)],
            localities: vec![LocalityEndpoints {
                locality: Arc::default(),
                priority: 0,
                weight: 1,
                endpoints: vec![0],
            }],
            priorities: 1,
            overprovisioning_factor: 140,
            weighted_priority_health: false,
            drops: vec![],
            provenance: None,
        };
        let answers: Vec<SocketAddr> = ["10.0.0.1:80", "[fd00::1]:80"].map(|a| a.parse().unwrap()).into();
        let all = expand(&"c".into(), &template, std::slice::from_ref(&answers), false);
        assert_eq!((all.endpoints.len(), all.localities[0].endpoints.len()), (2, 2));
        assert!(all.endpoints.iter().all(|e| e.additional_addresses.is_empty()));
        let one = expand(&"c".into(), &template, std::slice::from_ref(&answers), true);
        assert_eq!(one.endpoints.len(), 1);
        assert_eq!(one.endpoints[0].address, Address::Ip(answers[0]));
        assert_eq!(one.endpoints[0].additional_addresses, answers[1..]);
        assert_eq!(&*one.endpoints[0].hostname, "app.test");
    }
}
