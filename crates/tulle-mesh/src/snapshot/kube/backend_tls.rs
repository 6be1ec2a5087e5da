//! TLS towards backends: which policy counts, and whether its authorities are there.

use std::collections::BTreeSet;
use std::sync::Arc;

use tulle_base::{Diagnostic, Diagnostics, FieldPath, Host, ResourceRef};

use super::super::apply::Apply;
use super::super::maps::update_aged;
use super::Snapshot;
use crate::destination::{ClientTls, ClientTlsMode};
use crate::item::{Authorities, Item};
use crate::kube::{BackendTls, Finding, GROUP, ObjectName, ParentState, PolicyState};
use crate::meta::NsName;
use crate::service::{Service, ServicePort};

/// A name that no certificate has: connections fail.
const NOBODY: &str = "invalid.invalid";

impl Apply {
    pub(in super::super) fn kube_backend_tls(
        &mut self,
        reference: &ResourceRef,
        policy: &BackendTls,
        adding: bool,
    ) {
        let hosts: BTreeSet<&Host> = policy.targets.iter().map(|(host, _)| host).collect();
        for host in hosts {
            let rivals = self.next.backend_tls.get(host).cloned().unwrap_or_default();
            self.recheck.extend(rivals.iter().map(|p| p.meta.resource.clone()));
            update_aged(&mut self.next.backend_tls, host, reference, adding.then_some(policy), |p| &p.meta);
            // Its clusters are made of it.
            self.keys.services.insert(host.clone());
        }
    }

    pub(in super::super) fn kube_authorities(&mut self, authorities: &Authorities, adding: bool) {
        let Authorities { name, pem } = authorities;
        if adding {
            self.next.authorities.insert_mut(name.clone(), Arc::from(pem.as_str()));
        } else {
            self.next.authorities.remove_mut(name);
        }
        let naming = |p: &&Arc<BackendTls>| p.authorities.iter().flatten().any(|o| o.name == *name);
        let policies: Vec<Arc<BackendTls>> =
            self.next.backend_tls.values().flat_map(|all| all.iter()).filter(naming).cloned().collect();
        for policy in policies {
            self.recheck.insert(policy.meta.resource.clone());
            self.keys.services.extend(policy.targets.iter().map(|(host, _)| host.clone()));
        }
        self.kube_named(name);
    }

    /// Routes to a host came or went: its policies say which Gateways they concern.
    pub(super) fn recheck_policies_of(&mut self, host: &Host) {
        let policies = self.next.backend_tls.get(host).into_iter().flat_map(|all| all.iter());
        self.recheck.extend(policies.map(|p| p.meta.resource.clone()));
    }
}

impl Snapshot {
    /// TLS of gateways towards a port of `service`, with the policy that says so: one for the port by name comes before one for
    /// every port, then the oldest counts. A policy whose authorities are not there lets nothing pass.
    pub fn backend_tls(
        &self,
        service: &Service,
        port: &ServicePort,
    ) -> Option<(&Arc<BackendTls>, ClientTls)> {
        let policies = self.backend_tls.get(&service.hostname)?;
        let rank = |p: &BackendTls| {
            let mine = p.targets.iter().filter(|(host, _)| *host == service.hostname);
            mine.filter_map(|(_, section)| match section {
                Some(name) if *name == port.name => Some(0),
                Some(_) => None,
                None => Some(1),
            })
            .min()
        };
        let ranked = policies.iter().filter_map(|p| Some((rank(p)?, p)));
        let (_, policy) = ranked.min_by_key(|(rank, _)| *rank)?;
        let authorities = authorities(self, policy);
        let names = match (&authorities, policy.names.is_empty()) {
            (Err(_), _) => vec![NOBODY.to_owned()],
            (Ok(_), true) => vec![policy.hostname.clone()],
            (Ok(_), false) => policy.names.clone(),
        };
        let tls = ClientTls {
            mode: ClientTlsMode::Simple,
            sni: policy.hostname.clone(),
            subject_alt_names: names,
            authorities: authorities.unwrap_or_default(),
            ..ClientTls::default()
        };
        Some((policy, tls))
    }

    /// What became of a BackendTLSPolicy.
    pub fn policy_state(&self, policy: &ResourceRef) -> Option<PolicyState> {
        let Some(Item::BackendTls(policy)) = self.items.get(policy).map(Arc::as_ref) else { return None };
        let resolved = authorities(self, policy).err().unwrap_or_else(|| Finding::yes("ResolvedRefs"));
        let missing =
            policy.targets.iter().find(|(host, _)| self.service(host, policy.meta.namespace()).is_none());
        let accepted = if let Some(other) = policy.other_targets.first() {
            Finding::no("Invalid", format!("{} {} is no Service", other.kind, other.name))
        } else if let Some((host, _)) = missing {
            Finding::no("TargetNotFound", format!("no service has the host {host}"))
        } else if !resolved.holds {
            Finding::no("NoValidCACertificate", resolved.message.clone())
        } else if let Some(other) = self.older_policy(policy) {
            Finding::no("Conflicted", format!("{other} is older and for the same port"))
        } else {
            Finding::yes("Accepted")
        };
        let ancestors = policy.targets.iter().flat_map(|(host, _)| self.gateways_to(host));
        let ancestors: BTreeSet<(NsName, String)> = ancestors.collect();
        Some(PolicyState { accepted, resolved, ancestors: ancestors.into_iter().collect() })
    }

    fn older_policy(&self, policy: &BackendTls) -> Option<&ResourceRef> {
        let claims = |p: &BackendTls, target: &(Host, Option<String>)| p.targets.contains(target);
        policy.targets.iter().find_map(|target| {
            let first = self.backend_tls.get(&target.0)?.iter().find(|p| claims(p, target))?;
            (first.meta.resource != policy.meta.resource).then_some(&first.meta.resource)
        })
    }

    /// The Gateways with routes to a host, and their controllers.
    fn gateways_to(&self, host: &Host) -> Vec<(NsName, String)> {
        let routes = self.mentions.get(host).into_iter().flatten().filter_map(|r| self.route_states.get(r));
        let parents = routes.flat_map(|s| &s.parents).filter(|p| p.accepted.holds);
        let gateway = |p: &ParentState| match (p.parent.object.group.as_str(), p.parent.object.kind.as_str())
        {
            (GROUP, "Gateway") => Some(p.parent.object.name.clone()),
            (GROUP, "ListenerSet") => Some(self.set_states.get(&p.parent.object.name)?.gateway.clone()),
            _ => None,
        };
        parents.filter_map(|p| Some((gateway(p)?, p.controller.clone()))).collect()
    }
}

/// The authorities of a policy in PEM, empty for the system's.
fn authorities(snapshot: &Snapshot, policy: &BackendTls) -> Result<String, Finding> {
    let mut out = String::new();
    if policy.authorities.as_ref().is_some_and(Vec::is_empty) {
        let message = "it names no authorities; write caCertificateRefs, or wellKnownCACertificates: System";
        return Err(Finding::no("InvalidCACertificateRef", message));
    }
    for ObjectName { group, kind, name } in policy.authorities.iter().flatten() {
        if !group.is_empty() || kind != "ConfigMap" {
            let message = format!("{kind} of {group:?} is no kind that holds authorities; write a ConfigMap");
            return Err(Finding::no("InvalidKind", message));
        }
        let Some(pem) = snapshot.authorities.get(name) else {
            let message = format!("there is no ConfigMap {name} with certificates in PEM in ca.crt");
            return Err(Finding::no("InvalidCACertificateRef", message));
        };
        out.push_str(pem);
        out.push('\n');
    }
    Ok(out)
}

/// What is said of a policy.
pub(in super::super) fn check(snapshot: &Snapshot, resource: &ResourceRef) -> Diagnostics {
    let Some(PolicyState { accepted, resolved, ancestors: _ }) = snapshot.policy_state(resource) else {
        return Diagnostics::new();
    };
    let finding =
        [("spec.validation", resolved), ("spec.targetRefs", accepted)].into_iter().find(|(_, f)| !f.holds);
    let note = finding.map(|(field, Finding { holds: _, reason, message })| {
        let field = FieldPath::from(field);
        match reason {
            "TargetNotFound" => Diagnostic::error(field, format!("{reason}: {message}")).with_code("IST0101"),
            // The authorities may be made by other means than manifests.
            _ => Diagnostic::warning(field, format!("{reason}: {message}")),
        }
        .with_resource(resource.clone())
    });
    note.into_iter().collect()
}
