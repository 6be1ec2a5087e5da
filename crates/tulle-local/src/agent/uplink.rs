//! What the agent tells the host side.

use tokio::io::AsyncWriteExt;
use tokio::net::unix::OwnedWriteHalf;
use tulle_api::kubernetes::PodSpec;

use super::protocol::{FromAgent, PodInfo};
use super::summary;
use crate::cluster::pod_facts;
use crate::cluster::view::View;
use crate::node::kubelet::Kubelet;

/// The agent's side of the socket.
pub(super) struct Uplink {
    socket: OwnedWriteHalf,
    /// This process as the host numbers it.
    host_pid: String,
    said: Option<FromAgent>,
    ready_said: bool,
}

impl Uplink {
    pub(super) fn new(socket: OwnedWriteHalf, host_pid: String) -> Self {
        Self { socket, host_pid, said: None, ready_said: false }
    }

    pub(super) async fn tell(&mut self, message: &FromAgent) {
        let Ok(mut line) = serde_json::to_vec(message) else { return };
        line.push(b'\n');
        if let Err(e) = self.socket.write_all(&line).await {
            tracing::debug!(error = %e, "the host side does not listen");
        }
    }

    /// Tells how many pods are ready and why the others are not, when that has changed. Returns whether all of them are.
    pub(super) async fn progress(&mut self, view: &View) -> bool {
        let (mut ready, mut total, mut waiting) = (0, 0, Vec::new());
        for (object, _) in view.all::<PodSpec>() {
            let facts = pod_facts(object);
            if facts.succeeded || facts.terminating {
                continue;
            }
            total += 1;
            if facts.ready {
                ready += 1;
            } else {
                let name = format!("{}/{}", object.meta.namespace, object.meta.name);
                waiting.push(format!("{name}: {}", summary::reason(object)));
            }
        }
        let progress = FromAgent::Progress { ready, total, waiting };
        if self.said.as_ref() != Some(&progress) {
            self.tell(&progress).await;
            self.said = Some(progress);
        }
        total > 0 && ready == total
    }

    /// Whether it was told that everything is ready.
    pub(super) fn ready_was_told(&self) -> bool {
        self.ready_said
    }

    /// Tells, once, that everything is ready.
    pub(super) async fn ready(&mut self, kubelet: &Kubelet) {
        if !self.ready_said {
            self.ready_said = true;
            let pods = self.pods(kubelet);
            self.tell(&FromAgent::Ready(pods)).await;
        }
    }

    fn pods(&self, kubelet: &Kubelet) -> Vec<PodInfo> {
        let pods = kubelet.running_pods().map(|p| PodInfo {
            namespace: p.plan.namespace.clone(),
            name: p.plan.name.clone(),
            ip: p.net.ips.first.to_string(),
            ips: p.net.ips.all().map(|ip| ip.to_string()).collect(),
            netns: format!("/proc/{}/fd/{}", self.host_pid, p.net.netns.raw_fd()),
        });
        let mut pods: Vec<PodInfo> = pods.collect();
        pods.sort_by(|a, b| (&a.namespace, &a.name).cmp(&(&b.namespace, &b.name)));
        pods
    }
}
