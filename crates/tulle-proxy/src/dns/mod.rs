//! The pod's DNS: names of the mesh from the control plane, everything else from the servers that the pod would have asked.

mod answer;
mod forward;
mod server;
mod table;

pub(crate) use server::NameServer;
