//! One machine as a cluster: pods as processes in network namespaces, with the kernel's own means.

pub mod agent;
pub mod cluster;
pub mod container;
pub mod dns;
pub mod host;
pub mod net;
pub mod netlink;
pub mod node;
pub mod pod;
pub mod redirect;
pub mod services;
pub mod sys;
