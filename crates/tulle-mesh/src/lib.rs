//! The control plane's immutable snapshot of services, workloads, routing and policy.
