//! Probes and lifecycle handlers of containers.

use crate::schema::{oneof, record};
use crate::value::IntOrString;

record! {
    /// Asks a container how it is.
    pub struct Probe {
        /// Seconds after start before the first probe; 0 by default.
        pub initial_delay_seconds: Option<i32> = "initialDelaySeconds",
        /// Seconds until a probe fails; 1 by default.
        pub timeout_seconds: Option<i32> = "timeoutSeconds",
        /// Seconds between probes; 10 by default.
        pub period_seconds: Option<i32> = "periodSeconds",
        /// Successes in a row until it is well; 1 by default.
        pub success_threshold: Option<i32> = "successThreshold",
        /// Failures in a row until it is not; 3 by default.
        pub failure_threshold: Option<i32> = "failureThreshold",
        /// Grace period when the container is killed because of this probe.
        pub termination_grace_period_seconds: Option<i64> = "terminationGracePeriodSeconds",
    }
    oneof {
        /// How it asks.
        pub handler: ProbeHandler,
    }
}

oneof! {
    /// How a probe asks.
    pub enum ProbeHandler {
        /// Runs a command; exit code 0 is well.
        Exec(ExecAction) = "exec",
        /// Sends a GET; 200 to 399 is well.
        HttpGet(HttpGetAction) = "httpGet",
        /// Connects.
        TcpSocket(TcpSocketAction) = "tcpSocket",
        /// Calls `grpc.health.v1.Health/Check`.
        Grpc(GrpcAction) = "grpc",
    }
}

record! {
    /// A command, run without a shell.
    pub struct ExecAction {
        /// Program and arguments.
        pub command: Vec<String> = "command",
    }
}

record! {
    /// A GET request.
    pub struct HttpGetAction {
        /// Path; `/` by default.
        pub path: String = "path",
        /// Port, by number or name.
        pub port: Option<IntOrString> = "port" => required,
        /// Host; the pod's address by default.
        pub host: String = "host",
        /// HTTP (default) or HTTPS.
        pub scheme: String = "scheme",
        /// Headers to send.
        pub http_headers: Vec<HttpHeader> = "httpHeaders",
    }
}

record! {
    /// A header.
    pub struct HttpHeader {
        /// Name.
        pub name: String = "name" => required,
        /// Value.
        pub value: String = "value",
    }
}

record! {
    /// A TCP connection.
    pub struct TcpSocketAction {
        /// Port, by number or name.
        pub port: Option<IntOrString> = "port" => required,
        /// Host; the pod's address by default.
        pub host: String = "host",
    }
}

record! {
    /// A gRPC health check.
    pub struct GrpcAction {
        /// Port number.
        pub port: i32 = "port",
        /// Name of the service to ask for.
        pub service: String = "service",
    }
}

record! {
    /// What is done at the start and the end of a container.
    pub struct Lifecycle {
        /// Right after the start.
        pub post_start: Option<LifecycleHandler> = "postStart",
        /// Before the end; counts against the grace period.
        pub pre_stop: Option<LifecycleHandler> = "preStop",
        /// Signal that ends the container.
        pub stop_signal: String = "stopSignal",
    }
}

record! {
    /// Something to do.
    pub struct LifecycleHandler {
    }
    oneof {
        /// What.
        pub action: LifecycleAction,
    }
}

oneof! {
    /// What a lifecycle handler does.
    pub enum LifecycleAction {
        /// Runs a command.
        Exec(ExecAction) = "exec",
        /// Sends a GET.
        HttpGet(HttpGetAction) = "httpGet",
        /// Connects.
        TcpSocket(TcpSocketAction) = "tcpSocket" => deprecated("use exec or httpGet"),
        /// Waits.
        Sleep(SleepAction) = "sleep",
    }
}

record! {
    /// Waits.
    pub struct SleepAction {
        /// How long.
        pub seconds: i64 = "seconds",
    }
}
