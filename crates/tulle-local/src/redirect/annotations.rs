//! The pod annotations that steer capture (`traffic.sidecar.istio.io/…`), read into what the rules are made from.

use std::collections::BTreeMap;

use crate::net::Cidr;

/// Which inbound ports are captured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Inbound {
    /// All, except these.
    All {
        /// `excludeInboundPorts`.
        except: Vec<u16>,
    },
    /// These alone.
    Only(Vec<u16>),
}

/// Which outbound destinations are captured, in both families.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ranges {
    /// All, except these.
    All {
        /// `excludeOutboundIPRanges`.
        except: Vec<Cidr>,
    },
    /// These alone.
    Only(Vec<Cidr>),
}

/// What a sidecar captures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capture {
    /// Inbound ports.
    pub inbound: Inbound,
    /// Outbound destinations.
    pub ranges: Ranges,
    /// Outbound ports captured whatever the address.
    pub include_ports: Vec<u16>,
    /// Outbound ports never captured.
    pub exclude_ports: Vec<u16>,
    /// Whether DNS goes to the proxy.
    pub dns: bool,
}

impl Default for Capture {
    /// Everything.
    fn default() -> Self {
        Self {
            inbound: Inbound::All { except: Vec::new() },
            ranges: Ranges::All { except: Vec::new() },
            include_ports: Vec::new(),
            exclude_ports: Vec::new(),
            dns: true,
        }
    }
}

/// An annotation that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("annotation {annotation}: {value:?} is not {wanted}")]
pub struct CaptureError {
    /// The annotation's key.
    pub annotation: &'static str,
    /// The element at fault.
    pub value: String,
    /// What belongs there.
    pub wanted: &'static str,
}

const INCLUDE_RANGES: &str = "traffic.sidecar.istio.io/includeOutboundIPRanges";
const EXCLUDE_RANGES: &str = "traffic.sidecar.istio.io/excludeOutboundIPRanges";
const INCLUDE_OUT: &str = "traffic.sidecar.istio.io/includeOutboundPorts";
const EXCLUDE_OUT: &str = "traffic.sidecar.istio.io/excludeOutboundPorts";
const INCLUDE_IN: &str = "traffic.sidecar.istio.io/includeInboundPorts";
const EXCLUDE_IN: &str = "traffic.sidecar.istio.io/excludeInboundPorts";

impl Capture {
    /// Reads a pod's annotations. `*` or nothing means everything, an empty include list nothing; exclusions count only
    /// beside `*`, as in Istio.
    ///
    /// # Errors
    /// The first port or range that cannot be read.
    pub fn from_annotations(annotations: &BTreeMap<String, String>) -> Result<Self, CaptureError> {
        let get = |key: &str| annotations.get(key).map(String::as_str);
        let everything = |key| get(key).is_none_or(|v| v.trim() == "*");
        let inbound = if everything(INCLUDE_IN) {
            Inbound::All { except: ports(EXCLUDE_IN, get(EXCLUDE_IN))? }
        } else {
            Inbound::Only(ports(INCLUDE_IN, get(INCLUDE_IN))?)
        };
        let ranges = if everything(INCLUDE_RANGES) {
            Ranges::All { except: cidrs(EXCLUDE_RANGES, get(EXCLUDE_RANGES))? }
        } else {
            Ranges::Only(cidrs(INCLUDE_RANGES, get(INCLUDE_RANGES))?)
        };
        Ok(Self {
            inbound,
            ranges,
            include_ports: ports(INCLUDE_OUT, get(INCLUDE_OUT))?,
            exclude_ports: ports(EXCLUDE_OUT, get(EXCLUDE_OUT))?,
            dns: true,
        })
    }
}

fn ports(annotation: &'static str, value: Option<&str>) -> Result<Vec<u16>, CaptureError> {
    elements(annotation, value, "a port number", |e| e.parse().ok())
}

fn cidrs(annotation: &'static str, value: Option<&str>) -> Result<Vec<Cidr>, CaptureError> {
    elements(annotation, value, "a range such as 10.0.0.0/8 or fd00::/8", |e| e.parse().ok())
}

fn elements<T>(
    annotation: &'static str,
    value: Option<&str>,
    wanted: &'static str,
    read: impl Fn(&str) -> Option<T>,
) -> Result<Vec<T>, CaptureError> {
    value
        .unwrap_or_default()
        .split(',')
        .map(str::trim)
        .filter(|e| !e.is_empty())
        .map(|e| read(e).ok_or_else(|| CaptureError { annotation, value: e.to_owned(), wanted }))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Result<Capture, CaptureError> {
        Capture::from_annotations(&pairs.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect())
    }

    #[test]
    fn nothing_written_captures_everything() {
        assert_eq!(read(&[]).unwrap(), Capture::default());
    }

    #[test]
    fn exclusions_count_beside_everything_only() {
        let c =
            read(&[(EXCLUDE_IN, "81, 82"), (EXCLUDE_RANGES, "10.1.2.3/8,fd00::/8"), (EXCLUDE_OUT, "3306")])
                .unwrap();
        assert_eq!(c.inbound, Inbound::All { except: vec![81, 82] });
        let except = ["10.0.0.0/8", "fd00::/8"].map(|r| r.parse().unwrap()).to_vec();
        assert_eq!(c.ranges, Ranges::All { except });
        assert_eq!(c.exclude_ports, [3306]);
        let c = read(&[(INCLUDE_IN, "80"), (EXCLUDE_IN, "80"), (INCLUDE_RANGES, "")]).unwrap();
        assert_eq!(c.inbound, Inbound::Only(vec![80]));
        assert_eq!(c.ranges, Ranges::Only(vec![]));
    }

    #[test]
    fn a_slip_is_named() {
        let e = read(&[(EXCLUDE_OUT, "80,http")]).unwrap_err();
        assert_eq!(
            e.to_string(),
            "annotation traffic.sidecar.istio.io/excludeOutboundPorts: \"http\" is not a port number"
        );
        assert!(read(&[(EXCLUDE_RANGES, "10.0.0.0/33")]).is_err());
    }
}
