//! What workers have in common of each cluster: circuit breakers and outlier detection.
//!
//! Kept by the main thread, which alone sees every change; workers get it with the change.

use std::{collections::HashMap, sync::Arc};

use tulle_engine::{
    decide::{breaker::Breaker, outlier::Detector},
    runtime::{Cluster, EndpointSet, cluster::Discovery},
};

use super::update::{Changes, Shared};

/// All clusters with what is shared of them.
#[derive(Debug, Default)]
pub(super) struct SharedClusters {
    clusters: HashMap<Arc<str>, Known>,
    endpoints: HashMap<Arc<str>, Arc<EndpointSet>>,
}

#[derive(Debug)]
struct Known {
    config: Arc<Cluster>,
    breakers: Arc<[Breaker; 2]>,
    detector: Option<Arc<Detector>>,
}

impl SharedClusters {
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
            let detector = self.clusters.get(name).and_then(|k| k.detector.clone());
            let known = Known { config: Arc::clone(config), breakers, detector };
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
        known.detector = known.config.outlier.and_then(|config| {
            let set = match &known.config.discovery {
                Discovery::Static(set) => Some(set),
                _ => self.endpoints.get(endpoints_name(&known.config)?),
            };
            Some(Arc::new(Detector::new(config, set?, known.detector.as_deref())))
        });
        Some(Shared { breakers: Arc::clone(&known.breakers), detector: known.detector.clone() })
    }
}

/// The name under which endpoints arrive for a cluster.
fn endpoints_name(config: &Cluster) -> Option<&Arc<str>> {
    match &config.discovery {
        Discovery::Eds(name) => Some(name),
        Discovery::StrictDns(..) | Discovery::LogicalDns(..) => Some(&config.name),
        Discovery::Static(_) | Discovery::OriginalDst(_) => None,
    }
}
