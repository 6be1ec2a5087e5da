//! Ports of ExternalName services without a protocol, or with TCP: what is sent there may go astray.

use tulle_api::kubernetes::{Service, ServiceType};
use tulle_base::{FieldPath, Severity};
use tulle_mesh::port::Protocol;

use crate::analyzer::{Analyzer, Findings};
use crate::whole::Whole;

/// A port of an ExternalName service names no protocol but TCP.
pub(super) const ANALYZER: Analyzer = Analyzer {
    code: "IST0150",
    name: "ExternalNameServiceTypeInvalidPortName",
    severity: Severity::Warning,
    about: "A port of an ExternalName service names no protocol but TCP",
    check,
};

fn check(whole: &Whole<'_>, out: &mut Findings) {
    let external = |s: &Service| s.service_type == Some(ServiceType::ExternalName);
    for (object, spec) in whole.all::<Service>().filter(|(_, s)| external(s)) {
        for (i, port) in spec.ports.iter().enumerate() {
            let app = Some(port.app_protocol.as_str()).filter(|a| !a.is_empty());
            let number = u16::try_from(port.port).unwrap_or(0);
            let protocol = Protocol::select("TCP", app, &port.name, number);
            if matches!(protocol, Protocol::Sniff | Protocol::Tcp) {
                let path = FieldPath::from(format!("spec.ports[{i}].name").as_str());
                let message = format!(
                    "port {} of an ExternalName service names no protocol, or TCP alone: calls may not be forwarded right",
                    port.port
                );
                out.report(
                    object,
                    path,
                    message,
                    "begin its name with the protocol, such as https- or http-",
                );
            }
        }
    }
}
