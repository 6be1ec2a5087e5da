//! The pod's DNS: names of the mesh from the control plane, everything else from the servers that the pod would have asked.

mod answer;
mod forward;
mod server;
mod table;

pub(crate) use server::NameServer;

/// The answer to a packet where these are the names of the mesh.
pub(crate) fn answer_with(names: &[(&str, &[&str])], packet: &[u8], udp: bool) -> Option<Vec<u8>> {
    use tulle_proto::istio::nds::{NameInfo, NameTable};
    let info = |ips: &[&str]| NameInfo {
        ips: ips.iter().map(|ip| (*ip).to_owned()).collect(),
        ..Default::default()
    };
    let table = NameTable {
        table: names.iter().map(|(name, ips)| ((*name).to_owned(), info(ips))).collect(),
        ..Default::default()
    };
    let mut known = table::Names::new("default", "svc.cluster.local");
    known.update("all", &table);
    match answer::answer(&known, packet, udp, 0) {
        answer::Verdict::Answer(bytes) => Some(bytes),
        answer::Verdict::Forward(_) | answer::Verdict::Ignore => None,
    }
}
