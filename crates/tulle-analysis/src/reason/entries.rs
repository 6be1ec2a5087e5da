//! Hosts and ports that ServiceEntries define.

use std::collections::BTreeMap;

use tulle_api::Object;
use tulle_api::istio::ServiceEntry;
use tulle_base::Host;
use tulle_mesh::visibility::ExportTo;

use super::age;
use crate::whole::Whole;

/// One definition of a host and port.
#[derive(Clone, Debug)]
pub struct Defined<'a> {
    /// The document.
    pub object: &'a Object,
    /// Index of the host in it.
    pub index: usize,
    /// Index of the port in it.
    pub port: usize,
    /// Protocol as written, in upper case; TCP when none is.
    pub protocol: String,
    /// Who sees it.
    pub export: ExportTo,
}

impl Defined<'_> {
    /// Whether both speak the same protocol.
    pub fn same_protocol(&self, other: &Self) -> bool {
        self.protocol == other.protocol
    }

    /// Whether some namespace sees both.
    pub fn seen_with(&self, other: &Self) -> bool {
        match (&self.export, &other.export) {
            (ExportTo::Nobody, _) | (_, ExportTo::Nobody) => false,
            (ExportTo::All, _) | (_, ExportTo::All) => true,
            (ExportTo::Namespaces(a), ExportTo::Namespaces(b)) => !a.is_disjoint(b),
        }
    }
}

/// The hosts and ports that more than one ServiceEntry defines, each with its definitions, the oldest first.
pub fn defined<'a>(whole: &Whole<'a>) -> BTreeMap<(Host, u32), Vec<Defined<'a>>> {
    let mut out: BTreeMap<(Host, u32), Vec<Defined<'a>>> = BTreeMap::new();
    for (object, spec) in whole.all::<ServiceEntry>() {
        let export = ExportTo::parse(spec.export_to.iter().map(String::as_str), &object.meta.namespace);
        for (index, host) in spec.hosts.iter().enumerate() {
            for (port, written) in spec.ports.iter().enumerate() {
                let protocol = match written.protocol.as_str() {
                    "" => "TCP".to_owned(),
                    other => other.to_ascii_uppercase(),
                };
                let one = Defined { object, index, port, protocol, export: export.clone() };
                out.entry((Host::new(host), written.number)).or_default().push(one);
            }
        }
    }
    for all in out.values_mut() {
        all.sort_by(|a, b| age::by_age(a.object, b.object));
        all.dedup_by(|a, b| std::ptr::eq(a.object, b.object));
    }
    out.retain(|_, all| all.len() > 1);
    out
}
