//! Routes and the rules of destinations: who delegates to whom, who mentions what, and what ends with time.

use std::collections::BTreeSet;
use std::sync::Arc;

use tulle_base::{Host, ResourceRef};

use super::Apply;
use crate::destination::{DestinationRule, merge_same_host};
use crate::item::Item;
use crate::meta::NsName;
use crate::routing::{GatewayRef, RouteSet, delegate};
use crate::snapshot::asks;
use crate::snapshot::lookup::NamespaceRules;
use crate::snapshot::maps::{update_aged, update_set};

impl Apply {
    /// `rederive`: whether roots that delegate to this document are made again.
    pub(super) fn routes(
        &mut self,
        reference: &ResourceRef,
        written: &RouteSet,
        adding: bool,
        rederive: bool,
    ) {
        let own = NsName::new(written.meta.namespace(), written.meta.name());
        if rederive {
            self.roots
                .extend(self.next.delegated_by.get(&own).iter().flat_map(|roots| roots.iter().cloned()));
            for to in written.delegates() {
                update_set(&mut self.next.delegated_by, to, reference, adding);
            }
        }
        if rederive {
            match written.http.iter().filter_map(|r| r.fault.as_ref()?.expires).min() {
                Some(end) if adding => self.next.expiring.insert_mut(reference.clone(), end),
                _ => drop(self.next.expiring.remove_mut(reference)),
            }
        }
        let expanded = delegate::expand(written, |name| self.routes_named(name));
        let routes = &expanded;
        let hosts: BTreeSet<&Host> = routes.hosts.iter().collect();
        for host in hosts {
            // Whoever claims the same host may win or lose by this.
            let rivals = self.next.routes_of(host).to_vec();
            self.recheck.extend(rivals.iter().map(|r| r.meta.resource.clone()));
            let new = adding.then_some(routes);
            update_aged(&mut self.next.routes_of_host, host, reference, new, |r| &r.meta);
            self.keys.routes.insert(host.clone());
        }
        let named = routes.gateways.iter().filter_map(|g| match g {
            GatewayRef::Named(name) => Some(name),
            GatewayRef::Mesh => None,
        });
        for name in named.collect::<BTreeSet<&NsName>>() {
            let new = adding.then_some(routes);
            update_aged(&mut self.next.routes_of_gateway, name, reference, new, |r| &r.meta);
            self.keys.gateways.insert(name.clone());
        }
        for (destination, _) in written.destinations() {
            update_set(&mut self.next.mentions, &destination.host, reference, adding);
        }
    }

    /// The VirtualService `name` as written.
    fn routes_named(&self, name: &NsName) -> Option<Arc<RouteSet>> {
        let reference =
            ResourceRef::new("networking.istio.io", "VirtualService", &*name.namespace, &*name.name);
        match self.next.items.get(&reference)?.as_ref() {
            Item::Routes(routes) => Some(Arc::new(routes.clone())),
            _ => None,
        }
    }

    /// Makes the roots of changed delegates again.
    pub(super) fn expand_roots(&mut self) {
        for reference in std::mem::take(&mut self.roots) {
            let Some(item) = self.next.items.get(&reference).cloned() else { continue };
            if let Item::Routes(routes) = item.as_ref() {
                self.routes(&reference, routes, true, false);
                self.recheck.insert(reference);
            }
        }
    }

    pub(super) fn destination(&mut self, reference: &ResourceRef, rule: &DestinationRule, adding: bool) {
        asks::count(&mut self.next.asks, asks::of_rule(rule), adding);
        let ns = rule.meta.namespace().to_owned();
        let mut rules = self.next.rules_in.get(&ns).map(|r| NamespaceRules::clone(r)).unwrap_or_default();
        let mut raw = rules.raw.get(&rule.host).cloned().unwrap_or_default();
        self.recheck.extend(raw.iter().map(|r| r.meta.resource.clone()));
        raw.retain(|r| r.meta.resource != *reference);
        if adding {
            raw.push(Arc::new(rule.clone()));
        }
        if raw.is_empty() {
            rules.raw.remove_mut(&rule.host);
            rules.by_host.remove_mut(&rule.host);
        } else {
            let merged = merge_same_host(raw.iter().map(|r| DestinationRule::clone(r)).collect());
            rules.by_host.insert_mut(rule.host.clone(), merged.into_iter().map(Arc::new).collect());
            rules.raw.insert_mut(rule.host.clone(), raw);
        }
        self.next.rules_in.insert_mut(ns, Arc::new(rules));
        update_set(&mut self.next.mentions, &rule.host, reference, adding);
        self.mentioned(&rule.host);
        self.keys.destinations.insert(rule.host.clone());
    }

    /// Faults whose time is over are no longer injected. Time does not go back.
    pub(super) fn time(&mut self, now: i64) {
        let before = self.next.now;
        if now <= before {
            return;
        }
        self.next.now = now;
        let over = |end: i64| end > before && end <= now;
        let ended: Vec<ResourceRef> =
            self.next.expiring.iter().filter(|(_, end)| over(**end)).map(|(r, _)| r.clone()).collect();
        for reference in ended {
            // Those that delegate to it have its faults too.
            let own = NsName::new(&*reference.namespace, &*reference.name);
            let roots = self.next.delegated_by.get(&own).cloned().unwrap_or_default();
            self.roots.extend(roots.iter().cloned());
            self.roots.insert(reference);
        }
    }
}
