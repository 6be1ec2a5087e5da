//! Ports of services that do not say what they speak: every connection is looked at first.

use crate::analyzer::{Analyzer, Findings};
use crate::whole::Whole;
use tulle_api::kubernetes::{Service, ServiceType, TransportProtocol};
use tulle_base::{FieldPath, Severity};
use tulle_mesh::port::Protocol;

/// The name of a service port does not say its protocol, so that each connection is sniffed.
pub(super) const ANALYZER: Analyzer = Analyzer {
    code: "IST0118",
    name: "PortNameIsNotUnderNamingConvention",
    severity: Severity::Info,
    about: "The name of a service port does not say its protocol, so that each connection is sniffed",
    check,
};

fn check(whole: &Whole<'_>, out: &mut Findings) {
    for (object, spec) in whole.all::<Service>() {
        let namespace = object.meta.namespace.as_str();
        let outside = namespace.starts_with("kube-") || namespace == whole.root_namespace();
        if outside || spec.service_type == Some(ServiceType::ExternalName) {
            continue;
        }
        for (i, port) in spec.ports.iter().enumerate() {
            let transport = port.protocol.map_or("TCP", TransportProtocol::as_str);
            let app = Some(port.app_protocol.as_str()).filter(|p| !p.is_empty());
            let number = u16::try_from(port.port).unwrap_or(0);
            if Protocol::select(transport, app, &port.name, number) != Protocol::Sniff {
                continue;
            }
            let path = format!("spec.ports[{i}]{}", if port.name.is_empty() { "" } else { ".name" });
            let name = if port.name.is_empty() {
                "a port without name".to_owned()
            } else {
                format!("{:?}", port.name)
            };
            let message =
                format!("{name} does not say what port {} speaks: each connection is sniffed", port.port);
            let fix = "begin the name with the protocol, as in http-web or tcp-db, or write appProtocol";
            out.report(object, FieldPath::from(path.as_str()), message, fix);
        }
    }
}
