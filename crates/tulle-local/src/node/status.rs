//! A pod's state as its status says it.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::Value;
use tulle_api::kubernetes::{
    ContainerRunning, ContainerState as ApiState, ContainerStatus, ContainerTerminated, ContainerWaiting,
    PodCondition, PodIp, PodPhase, PodStatus,
};
use tulle_api::schema::Field as _;
use tulle_api::value::Timestamp;

use crate::net::Ips;
use crate::pod::state::{ContainerState, Doing, Ended, Phase, PodState};
use crate::sys::reaper::Exit;

/// Seconds since 1970.
pub(super) fn unix(time: SystemTime) -> i64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |d| i64::try_from(d.as_secs()).unwrap_or(i64::MAX))
}

/// The status of a pod. `before` is its last status: conditions keep the time of their last change from there.
pub(super) fn pod_status(state: &PodState, host: Ips, before: Option<&Value>, now: i64) -> Value {
    let ready = state.ready();
    let initialized = state.phase != Phase::Pending;
    let why = state.why_not_ready();
    let condition = |kind: &str, holds: bool, message: &str| {
        let status = if holds { "True" } else { "False" };
        let since = last_change(before, kind, status).unwrap_or_else(|| Timestamp::from_unix(now));
        PodCondition {
            condition_type: kind.into(),
            status: status.into(),
            reason: if holds { String::new() } else { "ContainersNotReady".into() },
            message: if holds { String::new() } else { message.to_owned() },
            last_transition_time: Some(since),
        }
    };
    let status = PodStatus {
        phase: Some(match state.phase {
            Phase::Pending => PodPhase::Pending,
            Phase::Running => PodPhase::Running,
            Phase::Succeeded => PodPhase::Succeeded,
            Phase::Failed => PodPhase::Failed,
        }),
        conditions: vec![
            condition("PodScheduled", true, ""),
            condition("Initialized", initialized, &why),
            condition("ContainersReady", ready, &why),
            condition("Ready", ready, &why),
        ],
        pod_ip: state.ips.first.to_string(),
        pod_ips: addresses(state.ips),
        host_ip: host.first.to_string(),
        host_ips: addresses(host),
        reason: state.reason.into(),
        message: String::new(),
        start_time: start_time(before).or_else(|| Some(Timestamp::from_unix(now))),
        container_statuses: state.containers.iter().filter(|c| !c.init).map(container).collect(),
        init_container_statuses: state.containers.iter().filter(|c| c.init).map(container).collect(),
    };
    status.encode()
}

fn addresses(ips: Ips) -> Vec<PodIp> {
    ips.all().map(|ip| PodIp { ip: ip.to_string() }).collect()
}

/// The status of a pod that cannot be started.
pub(super) fn refused(reason: &str, message: &str) -> Value {
    let condition = PodCondition {
        condition_type: "Ready".into(),
        status: "False".into(),
        reason: reason.into(),
        message: message.into(),
        last_transition_time: None,
    };
    PodStatus {
        phase: Some(PodPhase::Pending),
        conditions: vec![condition],
        reason: reason.into(),
        message: message.into(),
        ..PodStatus::default()
    }
    .encode()
}

fn start_time(before: Option<&Value>) -> Option<Timestamp> {
    timestamp(before?.get("startTime")?)
}

fn last_change(before: Option<&Value>, kind: &str, status: &str) -> Option<Timestamp> {
    let conditions = before?.get("conditions")?.as_array()?;
    let same = conditions.iter().find(|c| c["type"] == kind && c["status"] == status)?;
    timestamp(same.get("lastTransitionTime")?)
}

fn timestamp(value: &Value) -> Option<Timestamp> {
    use tulle_api::node::Node;
    use tulle_api::schema::{At, Context};
    let mut context = Context::new("".into(), tulle_base::Severity::Info);
    Timestamp::decode(&Node::from_json(value), &At::ROOT, &mut context)
}

fn container(c: &ContainerState) -> ContainerStatus {
    let state = match &c.doing {
        Doing::New => waiting("PodInitializing", ""),
        Doing::Waiting { reason, message } => waiting(reason, message),
        Doing::Running { since, .. } => ApiState {
            running: Some(ContainerRunning { started_at: Some(Timestamp::from_unix(unix(*since))) }),
            ..ApiState::default()
        },
        Doing::Terminated(ended) => terminated(ended),
    };
    ContainerStatus {
        name: c.name.clone(),
        image: c.image.clone(),
        ready: Some(c.ready),
        started: Some(c.started),
        restart_count: Some(i32::try_from(c.restarts).unwrap_or(i32::MAX)),
        state: Some(state),
        last_state: c.last.as_ref().map(terminated),
        ..ContainerStatus::default()
    }
}

fn waiting(reason: &str, message: &str) -> ApiState {
    ApiState {
        waiting: Some(ContainerWaiting { reason: reason.into(), message: message.into() }),
        ..ApiState::default()
    }
}

fn terminated(ended: &Ended) -> ApiState {
    let signal = match ended.exit {
        Exit::Signal(signal) => Some(signal),
        Exit::Code(_) => None,
    };
    ApiState {
        terminated: Some(ContainerTerminated {
            exit_code: ended.exit.code(),
            signal,
            reason: ended.reason.into(),
            message: ended.message.clone(),
            started_at: Some(Timestamp::from_unix(unix(ended.started))),
            finished_at: Some(Timestamp::from_unix(unix(ended.finished))),
        }),
        ..ApiState::default()
    }
}
