//! What Kubernetes assumes where a manifest says nothing (the `SetDefaults_*` rules of its API), as questions to ask.
//!
//! Objects keep what was written; nothing is filled in.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{
    Container, ContainerPort, Deployment, HttpGetAction, Job, PodSelector, PodSpec, Probe, ReplicaSet,
    RestartPolicy, Secret, SelectorOperator, SelectorRequirement, Service, ServicePort, ServiceType,
    StatefulSet, TransportProtocol,
};
use crate::value::IntOrString;
use tulle_base::Labels;

impl Service {
    /// The type; ClusterIP when not given.
    pub fn kind_of_service(&self) -> ServiceType {
        self.service_type.unwrap_or(ServiceType::ClusterIp)
    }

    /// Whether it has no address of its own (`clusterIP: None`).
    pub fn is_headless(&self) -> bool {
        self.cluster_ip == "None"
    }
}

impl ServicePort {
    /// The transport protocol; TCP when not given.
    pub fn transport(&self) -> TransportProtocol {
        self.protocol.unwrap_or(TransportProtocol::Tcp)
    }

    /// The pods' port; the same number when not given.
    pub fn target(&self) -> IntOrString {
        match &self.target_port {
            None | Some(IntOrString::Int(0)) => IntOrString::Int(self.port),
            Some(port) => port.clone(),
        }
    }
}

impl ContainerPort {
    /// The transport protocol; TCP when not given.
    pub fn transport(&self) -> TransportProtocol {
        self.protocol.unwrap_or(TransportProtocol::Tcp)
    }
}

impl PodSpec {
    /// When containers are started again; Always when not given.
    pub fn restarts(&self) -> RestartPolicy {
        self.restart_policy.unwrap_or(RestartPolicy::Always)
    }

    /// The service account; `default` when not given.
    pub fn account(&self) -> &str {
        [&*self.service_account_name, &*self.service_account]
            .into_iter()
            .find(|s| !s.is_empty())
            .unwrap_or("default")
    }

    /// Time from the signal to stop until the kill; 30 s when not given.
    pub fn grace_period(&self) -> Duration {
        seconds(self.termination_grace_period_seconds, 30)
    }

    /// The port that a number or name stands for, looked up in all containers; TCP only.
    pub fn resolve_port(&self, port: &IntOrString) -> Option<u16> {
        let sidecars =
            self.init_containers.iter().filter(|c| c.restart_policy == Some(RestartPolicy::Always));
        match port {
            IntOrString::Int(number) => u16::try_from(*number).ok(),
            IntOrString::String(name) => {
                self.containers.iter().chain(sidecars).find_map(|c| c.port_named(name))
            }
        }
    }
}

impl Container {
    /// The number of the port called `name`; TCP only.
    pub fn port_named(&self, name: &str) -> Option<u16> {
        let port = self.ports.iter().find(|p| p.name == name && p.transport() == TransportProtocol::Tcp)?;
        u16::try_from(port.container_port).ok()
    }
}

impl Probe {
    /// Time before the first probe; 0 when not given.
    pub fn initial_delay(&self) -> Duration {
        seconds(self.initial_delay_seconds.map(i64::from), 0)
    }

    /// Time until a probe fails; 1 s when not given or zero.
    pub fn timeout(&self) -> Duration {
        seconds(self.timeout_seconds.filter(|s| *s > 0).map(i64::from), 1)
    }

    /// Time between probes; 10 s when not given or zero.
    pub fn period(&self) -> Duration {
        seconds(self.period_seconds.filter(|s| *s > 0).map(i64::from), 10)
    }

    /// Successes in a row until it is well; 1 when not given or zero.
    pub fn successes(&self) -> u32 {
        count(self.success_threshold.filter(|n| *n > 0), 1)
    }

    /// Failures in a row until it is not; 3 when not given or zero.
    pub fn failures(&self) -> u32 {
        count(self.failure_threshold.filter(|n| *n > 0), 3)
    }
}

impl HttpGetAction {
    /// The path; `/` when not given.
    pub fn path_or_root(&self) -> &str {
        if self.path.is_empty() { "/" } else { &self.path }
    }

    /// Whether it is HTTPS; HTTP when not given.
    pub fn is_https(&self) -> bool {
        self.scheme.eq_ignore_ascii_case("https")
    }
}

impl Deployment {
    /// How many pods; 1 when not given.
    pub fn count(&self) -> u32 {
        count(self.replicas, 1)
    }
}

impl ReplicaSet {
    /// How many pods; 1 when not given.
    pub fn count(&self) -> u32 {
        count(self.replicas, 1)
    }
}

impl StatefulSet {
    /// How many pods; 1 when not given.
    pub fn count(&self) -> u32 {
        count(self.replicas, 1)
    }

    /// Number of the first pod; 0 when not given.
    pub fn first_ordinal(&self) -> u32 {
        count(self.ordinals.as_ref().and_then(|o| o.start), 0)
    }
}

impl Job {
    /// How many pods run at a time; 1 when not given.
    pub fn workers(&self) -> u32 {
        count(self.parallelism, 1)
    }

    /// How many pods must end well: `completions`, or as many as run at a time (1 when neither is given).
    pub fn wanted(&self) -> u32 {
        count(self.completions, self.workers())
    }

    /// Failures until the job has failed; 6 when not given.
    pub fn allowed_failures(&self) -> u32 {
        count(self.backoff_limit, 6)
    }
}

impl Secret {
    /// All values: `data`, and `stringData` over it.
    pub fn values(&self) -> BTreeMap<&str, &[u8]> {
        let plain = self.string_data.iter().map(|(k, v)| (k.as_str(), v.as_bytes()));
        self.data.iter().map(|(k, v)| (k.as_str(), v.0.as_slice())).chain(plain).collect()
    }
}

impl PodSelector {
    /// Whether `labels` have every pair and meet every expression. An empty selector matches everything.
    pub fn matches(&self, labels: &Labels) -> bool {
        self.match_labels.iter().all(|(k, v)| labels.get(k) == Some(v))
            && self.match_expressions.iter().all(|e| e.matches(labels))
    }
}

impl SelectorRequirement {
    /// Whether `labels` meet this expression.
    pub fn matches(&self, labels: &Labels) -> bool {
        let value = labels.get(&self.key);
        match self.operator {
            Some(SelectorOperator::In) => value.is_some_and(|v| self.values.contains(v)),
            Some(SelectorOperator::NotIn) => value.is_none_or(|v| !self.values.contains(v)),
            Some(SelectorOperator::Exists) => value.is_some(),
            Some(SelectorOperator::DoesNotExist) => value.is_none(),
            None => false,
        }
    }
}

fn seconds(given: Option<i64>, default: u64) -> Duration {
    Duration::from_secs(given.map_or(default, |s| u64::try_from(s).unwrap_or(0)))
}

fn count(given: Option<i32>, default: u32) -> u32 {
    given.map_or(default, |n| u32::try_from(n).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    #[test]
    fn selectors_match_as_kubernetes_does() {
        let expression = |operator, values: &[&str]| SelectorRequirement {
            key: "tier".into(),
            operator: Some(operator),
            values: values.iter().map(|v| (*v).to_owned()).collect(),
        };
        let (front, none) = (labels(&[("app", "a"), ("tier", "front")]), labels(&[("app", "a")]));
        let cases = [
            (SelectorOperator::In, &["front", "back"][..], true, false),
            (SelectorOperator::NotIn, &["front"], false, true),
            (SelectorOperator::Exists, &[], true, false),
            (SelectorOperator::DoesNotExist, &[], false, true),
        ];
        for (operator, values, of_front, of_none) in cases {
            let selector = PodSelector {
                match_labels: labels(&[("app", "a")]),
                match_expressions: vec![expression(operator, values)],
            };
            assert_eq!(
                (selector.matches(&front), selector.matches(&none)),
                (of_front, of_none),
                "{operator:?}"
            );
        }
        assert!(PodSelector::default().matches(&none));
        assert!(
            !PodSelector { match_labels: labels(&[("app", "b")]), ..PodSelector::default() }.matches(&front)
        );
    }

    #[test]
    fn ports_by_number_and_name() {
        let named = ContainerPort { name: "http".into(), container_port: 8080, ..ContainerPort::default() };
        let container = Container { ports: vec![named], ..Container::default() };
        let sidecar = Container {
            restart_policy: Some(RestartPolicy::Always),
            ports: vec![ContainerPort { name: "side".into(), container_port: 1, ..ContainerPort::default() }],
            ..Container::default()
        };
        let spec =
            PodSpec { containers: vec![container], init_containers: vec![sidecar], ..PodSpec::default() };
        let port = ServicePort { port: 80, ..ServicePort::default() };
        assert_eq!(spec.resolve_port(&port.target()), Some(80));
        let port = ServicePort { target_port: Some(IntOrString::String("http".into())), ..port };
        assert_eq!(spec.resolve_port(&port.target()), Some(8080));
        assert_eq!(spec.resolve_port(&IntOrString::String("side".into())), Some(1));
        assert_eq!(spec.resolve_port(&IntOrString::String("none".into())), None);
        assert_eq!(spec.resolve_port(&IntOrString::Int(70_000)), None);
    }

    #[test]
    fn what_is_not_written_is_as_kubernetes_assumes() {
        let probe = Probe::default();
        assert_eq!((probe.initial_delay(), probe.timeout()), (Duration::ZERO, Duration::from_secs(1)));
        assert_eq!((probe.period(), probe.successes(), probe.failures()), (Duration::from_secs(10), 1, 3));
        let job = Job { parallelism: Some(4), ..Job::default() };
        assert_eq!((job.workers(), job.wanted(), job.allowed_failures()), (4, 4, 6));
        let spec = PodSpec::default();
        assert_eq!((spec.account(), spec.grace_period()), ("default", Duration::from_secs(30)));
        assert_eq!((Deployment::default().count(), StatefulSet::default().first_ordinal()), (1, 0));
        let secret = Secret {
            data: [("a".to_owned(), crate::value::Bytes(b"1".to_vec()))].into(),
            string_data: [("a".to_owned(), "2".to_owned())].into(),
            ..Secret::default()
        };
        assert_eq!(secret.values()["a"], b"2");
    }
}
