//! `WorkloadGroup` (`networking.istio.io`): what workload entries that register themselves look like.

use tulle_base::Labels;

use super::service_entry::WorkloadEntry;
use crate::schema::{oneof, record};

record! {
    /// What workload entries that register themselves look like.
    pub struct WorkloadGroup {
        /// Labels and annotations of each entry.
        pub metadata: Option<WorkloadGroupMetadata> = "metadata",
        /// Each entry; address and labels are the workload's own.
        pub template: WorkloadEntry = "template",
        /// When a workload is ready.
        pub probe: Option<ReadinessProbe> = "probe",
    }
}

record! {
    /// Labels and annotations of workload entries.
    pub struct WorkloadGroupMetadata {
        /// The labels.
        pub labels: Labels = "labels",
        /// The annotations.
        pub annotations: Labels = "annotations",
    }
}

record! {
    /// When a workload outside of the cluster is ready.
    pub struct ReadinessProbe {
        /// Seconds after start before the first probe; 0 by default.
        pub initial_delay_seconds: Option<i32> = "initialDelaySeconds",
        /// Seconds until a probe fails; 1 by default.
        pub timeout_seconds: Option<i32> = "timeoutSeconds",
        /// Seconds between probes; 10 by default.
        pub period_seconds: Option<i32> = "periodSeconds",
        /// Successes in a row until it is ready; 1 by default.
        pub success_threshold: Option<i32> = "successThreshold",
        /// Failures in a row until it is not; 3 by default.
        pub failure_threshold: Option<i32> = "failureThreshold",
    }
    oneof {
        /// How it is asked.
        pub health_check_method: HealthCheckMethod,
    }
}

oneof! {
    /// How a workload outside of the cluster is asked whether it is ready.
    pub enum HealthCheckMethod {
        /// A GET; 200 to 399 is ready.
        HttpGet(HttpHealthCheck) = "httpGet",
        /// A connection.
        TcpSocket(TcpHealthCheck) = "tcpSocket",
        /// A command; exit code 0 is ready.
        Exec(ExecHealthCheck) = "exec",
        /// A call of `grpc.health.v1.Health/Check`.
        Grpc(GrpcHealthCheck) = "grpc",
    }
}

record! {
    /// A GET request.
    pub struct HttpHealthCheck {
        /// Path; `/` by default.
        pub path: String = "path",
        /// Port, 1 to 65535.
        pub port: u32 = "port",
        /// Host; the workload's address by default.
        pub host: String = "host",
        /// HTTP (default) or HTTPS.
        pub scheme: String = "scheme",
        /// Headers to send.
        pub http_headers: Vec<HealthCheckHeader> = "httpHeaders",
    }
}

record! {
    /// A header of a health check.
    pub struct HealthCheckHeader {
        /// Name.
        pub name: String = "name",
        /// Value.
        pub value: String = "value",
    }
}

record! {
    /// A TCP connection.
    pub struct TcpHealthCheck {
        /// Host; localhost by default.
        pub host: String = "host",
        /// Port, 1 to 65535.
        pub port: u32 = "port",
    }
}

record! {
    /// A command, run without a shell.
    pub struct ExecHealthCheck {
        /// Program and arguments.
        pub command: Vec<String> = "command" => required,
    }
}

record! {
    /// A gRPC health check.
    pub struct GrpcHealthCheck {
        /// Port, 1 to 65535.
        pub port: Option<u32> = "port",
        /// Name of the service to ask for.
        pub service: String = "service",
    }
}
