//! What workers have in common of each cluster: circuit breakers, outlier detection, and how busy endpoints are.
//!
//! Kept by the main thread, which alone sees every change; workers get it with the change.

use std::{collections::HashMap, sync::Arc, time::Instant};

use tulle_engine::{
    decide::{
        balance::{Load, Watched},
        breaker::Breaker,
        health::Checked,
        outlier::Detector,
    },
    runtime::{
        Cluster, EndpointSet,
        cluster::{Discovery, LbPolicy},
    },
};

use super::update::{Changes, Shared};

/// All clusters with what is shared of them.
#[derive(Debug)]
pub(super) struct SharedClusters {
    /// When the process began: the clock of what is shared.
    started: Instant,
    clusters: HashMap<Arc<str>, Known>,
    endpoints: HashMap<Arc<str>, Arc<EndpointSet>>,
}

#[derive(Debug)]
struct Known {
    config: Arc<Cluster>,
    breakers: Arc<[Breaker; 2]>,
    watched: Watched,
}

impl SharedClusters {
    /// No clusters yet.
    pub(super) fn new(started: Instant) -> Self {
        Self { started, clusters: HashMap::new(), endpoints: HashMap::new() }
    }

    /// Takes a change over. Returns what workers need to know for the clusters that it touches.
    pub(super) fn update(&mut self, changes: &Changes) -> Vec<(Arc<str>, Shared)> {
        let mut touched: Vec<Arc<str>> = Vec::new();
        for (name, set) in &changes.endpoints.changed {
            self.endpoints.insert(Arc::clone(name), Arc::clone(set));
            let waiting = self.clusters.iter().filter(|(_, k)| endpoints_name(&k.config) == Some(name));
            touched.extend(waiting.map(|(n, _)| Arc::clone(n)));
        }
        for (name, config) in &changes.clusters.changed {
            let breakers = self.clusters.get(name).map(|k| Arc::clone(&k.breakers)).unwrap_or_default();
            let watched = self.clusters.get(name).map(|k| k.watched.clone()).unwrap_or_default();
            let known = Known { config: Arc::clone(config), breakers, watched };
            self.clusters.insert(Arc::clone(name), known);
            touched.push(Arc::clone(name));
        }
        for name in &changes.clusters.removed {
            self.clusters.remove(name);
        }
        for name in &changes.endpoints.removed {
            self.endpoints.remove(name);
        }
        touched.sort();
        touched.dedup();
        touched.into_iter().filter_map(|name| Some((Arc::clone(&name), self.shared(&name)?))).collect()
    }

    fn shared(&mut self, name: &Arc<str>) -> Option<Shared> {
        let known = self.clusters.get_mut(name)?;
        let set = match &known.config.discovery {
            Discovery::Static(set) => Some(set),
            _ => endpoints_name(&known.config).and_then(|name| self.endpoints.get(name)),
        };
        let Watched { detector, checked, load } = std::mem::take(&mut known.watched);
        let now = self.started.elapsed();
        known.watched = Watched {
            detector: known
                .config
                .outlier
                .and_then(|config| Some(Arc::new(Detector::new(config, set?, detector.as_deref(), now)))),
            checked: (known.config.health_check.as_ref())
                .and_then(|_| Some(Arc::new(Checked::new(set?, checked.as_deref())))),
            load: set
                .filter(|_| matches!(known.config.lb, LbPolicy::LeastRequest { .. }))
                .map(|set| Arc::new(Load::new(set, load.as_deref()))),
        };
        Some(Shared { breakers: Arc::clone(&known.breakers), watched: known.watched.clone() })
    }
}

/// The name under which endpoints arrive for a cluster.
fn endpoints_name(config: &Cluster) -> Option<&Arc<str>> {
    match &config.discovery {
        Discovery::Eds(name) => Some(name),
        Discovery::StrictDns(..) | Discovery::LogicalDns(..) => Some(&config.name),
        Discovery::Static(_) | Discovery::OriginalDst(_) | Discovery::Forward(_) => None,
    }
}
