//! Who calls whom, as far as configuration tells: addresses in the environment and arguments of containers, egress of
//! Sidecars, and identities that AuthorizationPolicies allow.

use std::collections::BTreeMap;

use tulle_api::istio::{AuthorizationAction, AuthorizationPolicy, Sidecar, Source};
use tulle_base::{Host, Labels};

use super::fronts::Fronts;
use super::hosts::fqdn;
use super::pods::{PodIndex, Pods};
use crate::whole::Whole;

/// A call from the workloads behind one service to another service.
#[derive(Clone, Debug)]
pub struct Call {
    /// Index of the service that is called.
    pub to: usize,
    /// What tells of the call, such as `the variable CART of Deployment shop/front`.
    pub evidence: String,
}

/// The graph of calls between services.
#[derive(Debug)]
pub struct Calls {
    /// The calls of each service's workloads, by the index that [`Fronts`] gives the service; at most one per service
    /// called.
    pub from: Vec<Vec<Call>>,
    /// The services that call each.
    pub into: Vec<Vec<usize>>,
}

impl Calls {
    /// Reads the graph.
    pub fn new<'a>(whole: &Whole<'a>, pods: &PodIndex<'a>, fronts: &Fronts) -> Self {
        Builder::new(whole, pods, fronts).build()
    }
}

struct Builder<'b, 'a> {
    whole: &'b Whole<'a>,
    pods: &'b PodIndex<'a>,
    fronts: &'b Fronts,
    edges: Vec<BTreeMap<usize, String>>,
}

impl<'b, 'a> Builder<'b, 'a> {
    fn new(whole: &'b Whole<'a>, pods: &'b PodIndex<'a>, fronts: &'b Fronts) -> Self {
        Self { whole, pods, fronts, edges: vec![BTreeMap::new(); fronts.services.len()] }
    }

    fn build(mut self) -> Calls {
        let pods = self.pods;
        for set in pods.iter() {
            self.addresses(set);
        }
        let whole = self.whole;
        for (object, spec) in whole.all::<AuthorizationPolicy>() {
            if spec.action.unwrap_or(AuthorizationAction::Allow) == AuthorizationAction::Allow {
                self.allowed(object, spec);
            }
        }
        for (object, spec) in whole.all::<Sidecar>() {
            self.egress(object, spec);
        }
        let mut into = vec![Vec::new(); self.fronts.services.len()];
        let from: Vec<Vec<Call>> = self
            .edges
            .into_iter()
            .map(|calls| calls.into_iter().map(|(to, evidence)| Call { to, evidence }).collect())
            .collect();
        for (caller, calls) in from.iter().enumerate() {
            calls.iter().for_each(|call| into[call.to].push(caller));
        }
        Calls { from, into }
    }

    fn add(&mut self, pods: &Pods<'_>, to: usize, evidence: &str) {
        for from in self.fronts.of_pods(pods) {
            if *from != to {
                self.edges[*from].entry(to).or_insert_with(|| evidence.to_owned());
            }
        }
    }

    /// Host names in variables and arguments of the containers.
    fn addresses(&mut self, pods: &Pods<'_>) {
        for container in &pods.spec.containers {
            for variable in &container.env {
                let named = is_address_name(&variable.name);
                for host in hosts_in(&variable.value, named) {
                    if let Some(to) = self.known(host, pods.namespace()) {
                        let evidence =
                            format!("the variable {} of {}", variable.name, pods.object.resource());
                        self.add(pods, to, &evidence);
                    }
                }
            }
            for argument in container.args.iter().chain(&container.command) {
                for host in hosts_in(argument, false) {
                    if let Some(to) = self.known(host, pods.namespace()) {
                        let evidence = format!("an argument of {}", pods.object.resource());
                        self.add(pods, to, &evidence);
                    }
                }
            }
        }
    }

    /// The service that `host` names in `namespace`, by its short, namespaced or full name.
    fn known(&self, host: &str, namespace: &str) -> Option<usize> {
        let mesh = self.whole.mesh();
        let by_host = |h: &Host| self.fronts.of_host(h);
        by_host(&fqdn(host, namespace, mesh)).or_else(|| {
            let mut parts = host.split('.');
            let (name, ns) = (parts.next()?, parts.next()?);
            let rest: Vec<&str> = parts.collect();
            matches!(rest.as_slice(), [] | ["svc"])
                .then(|| by_host(&Host::new(&format!("{name}.{ns}.svc.{}", mesh.domain))))?
        })
    }

    /// Identities that a policy allows are those of callers.
    fn allowed(&mut self, object: &tulle_api::Object, spec: &AuthorizationPolicy) {
        if !spec.target_refs.is_empty() || spec.target_ref.is_some() {
            return;
        }
        let none = Labels::new();
        let selector = spec.selector.as_ref().map_or(&none, |s| &s.match_labels);
        if selector.is_empty() {
            return; // For a whole namespace it tells nothing about single services.
        }
        let namespace = object.meta.namespace.as_str();
        let pods = self.pods;
        let mut called: Vec<usize> = pods
            .select(Some(namespace), selector)
            .flat_map(|p| self.fronts.of_pods(p).iter().copied())
            .collect();
        called.sort_unstable();
        called.dedup();
        let sources = spec.rules.iter().flat_map(|r| &r.from).filter_map(|f| f.source.as_ref());
        for (ns, account) in sources.flat_map(|s| identities(s, namespace)) {
            let evidence = format!("{} allows the account {ns}/{account}", object.resource());
            for caller in pods.of_namespace(&ns).filter(|p| p.service_account() == account) {
                for to in &called {
                    self.add(caller, *to, &evidence);
                }
            }
        }
    }

    /// Hosts that a Sidecar names one by one are those that its workloads call.
    fn egress(&mut self, object: &tulle_api::Object, spec: &Sidecar) {
        let Some(selector) = spec.workload_selector.as_ref().filter(|s| !s.labels.is_empty()) else { return };
        let pods = self.pods;
        let evidence = format!("the egress of {}", object.resource());
        for entry in spec.egress.iter().flat_map(|e| &e.hosts) {
            let host = entry.split_once('/').map_or(entry.as_str(), |(_, host)| host);
            let to = if host.contains('*') { None } else { self.known(host, &object.meta.namespace) };
            if let Some(to) = to {
                for caller in pods.select(Some(&object.meta.namespace), &selector.labels) {
                    self.add(caller, to, &evidence);
                }
            }
        }
    }
}

/// The service accounts that a source names without wildcards.
fn identities(source: &Source, own: &str) -> Vec<(String, String)> {
    let principal = |text: &String| {
        let (_, rest) = text.split_once("/ns/")?;
        let (ns, account) = rest.split_once("/sa/")?;
        (!rest.contains('*')).then(|| (ns.to_owned(), account.to_owned()))
    };
    let account = |text: &String| {
        let (ns, name) = text.split_once('/').unwrap_or((own, text));
        (ns.to_owned(), name.to_owned())
    };
    let mut out: Vec<_> = source.principals.iter().filter_map(principal).collect();
    out.extend(source.service_accounts.iter().map(account));
    out
}

/// Whether the name of a variable says that its value is an address.
fn is_address_name(name: &str) -> bool {
    let name = name.to_ascii_uppercase();
    ["HOST", "ADDR", "ADDRESS", "URL", "URI", "ENDPOINT", "UPSTREAM", "HOSTNAME"]
        .iter()
        .any(|end| name.ends_with(end))
}

/// The names in a text that stand where hosts do: after `://`, before `:PORT`, or with dots; any word when the text is
/// known to be an address.
fn hosts_in(text: &str, any_word: bool) -> Vec<&str> {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.';
    let mut out = Vec::new();
    let mut start = 0;
    while let Some(begin) = text[start..].find(word).map(|i| start + i) {
        let end = text[begin..].find(|c| !word(c)).map_or(text.len(), |i| begin + i);
        let (name, before, after) = (&text[begin..end], &text[..begin], &text[end..]);
        let port = after.strip_prefix(':').is_some_and(|p| p.starts_with(|c: char| c.is_ascii_digit()));
        if any_word || before.ends_with("://") || before.ends_with('@') || port || name.contains(".svc") {
            out.push(name);
        }
        start = end;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_stand_where_hosts_do() {
        assert_eq!(hosts_in("http://cart:8080/api?x=orders", false), ["cart"]);
        assert_eq!(hosts_in("--peer=stock.shop.svc.cluster.local", false), ["stock.shop.svc.cluster.local"]);
        assert_eq!(hosts_in("postgres://u:p@db:5432/cart", false), ["u", "db"]);
        assert!(hosts_in("cart", false).is_empty());
        assert_eq!(hosts_in("cart", true), ["cart"]);
        assert!(is_address_name("CART_ADDR") && !is_address_name("APP"));
    }
}
