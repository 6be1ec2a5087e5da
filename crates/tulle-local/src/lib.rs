//! One machine as a cluster: pods as processes in network namespaces, with the kernel's own means.

pub mod net;
pub mod netlink;
pub mod redirect;
pub mod services;
pub mod sys;
