//! TCP ports of hosts without an address: connections cannot be told apart by host, and the port takes everything.
//!
//! Addresses are not given out by themselves here; where Istio does so (its DNS proxy) the finding means nothing.

use tulle_api::istio::ServiceEntry;
use tulle_base::{FieldPath, Severity};
use tulle_mesh::port::Protocol;

use crate::analyzer::{Analyzer, Findings};
use crate::reason::text::some_of;
use crate::whole::Whole;

/// A ServiceEntry has a TCP port and no addresses, so that everything that goes to that port is taken for it.
pub(super) const ANALYZER: Analyzer = Analyzer {
    code: "IST0134",
    name: "ServiceEntryAddressesRequired",
    severity: Severity::Warning,
    about: "A ServiceEntry has a TCP port and no addresses, so that everything that goes to that port is taken for it",
    check,
};

fn check(whole: &Whole<'_>, out: &mut Findings) {
    for (object, spec) in whole.all::<ServiceEntry>().filter(|(_, s)| s.addresses.is_empty()) {
        for (i, port) in spec.ports.iter().enumerate() {
            let protocol = Protocol::parse(&port.protocol).unwrap_or(Protocol::Tcp);
            if protocol != Protocol::Tcp {
                continue;
            }
            let message = format!(
                "has no addresses for TCP port {}: whatever goes to that port, wherever, is taken for {}",
                port.number,
                some_of(&spec.hosts)
            );
            let path = FieldPath::from(format!("spec.ports[{i}]").as_str());
            out.report(
                object,
                path,
                message,
                "write addresses, or a protocol that names the host (HTTP, TLS)",
            );
        }
    }
}
