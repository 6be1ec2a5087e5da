//! What the kernel gives: processes in namespaces, network namespaces, the reaping of children, descriptors over sockets.

pub mod fds;
pub mod inherited;
pub mod netns;
pub mod reaper;
pub mod spawn;
