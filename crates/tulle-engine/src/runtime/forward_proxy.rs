//! Forwarding to the host that each request names (`dynamic_forward_proxy`).

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tulle_base::nearby;

use super::cluster::DnsFamily;
use super::matcher::HeaderKey;
use super::net::CidrRange;

/// What is remembered of names, and for how long (`DnsCacheConfig`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DnsCache {
    /// Its name: filters and clusters of one name share what is remembered.
    pub name: Arc<str>,
    /// Which addresses are wanted.
    pub family: DnsFamily,
    /// How long an answer is good. Default 60 s.
    pub refresh: Duration,
    /// After a failure: first wait. Default as `refresh`; zero asks again for each request.
    pub failure_base: Duration,
    /// After a failure: longest wait.
    pub failure_max: Duration,
    /// A name that nobody asks for is forgotten after this time. Default 5 min.
    pub unused: Duration,
    /// Most names, for each worker. Default 1024.
    pub max_hosts: u32,
    /// Most requests that wait for an answer, for each worker. Default 1024.
    pub max_pending: u32,
    /// How long one question may take; `None` for as long as the system takes. Default 5 s.
    pub timeout: Option<Duration>,
    /// Addresses that are not connected to.
    pub refused: Refused,
}

/// Addresses that are not connected to, whatever DNS or the client says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// Those of the machine itself, its link and its cloud ([`nearby::RANGES`]). The default, so that nobody reaches what trusts its neighbours (a metadata service, an admin port) by a name of his own. Envoy refuses none by
    /// default.
    Local,
    /// Those in these ranges, or, inverted, those in none of them (`resolved_address_filter`).
    Ranges {
        /// The ranges.
        ranges: Vec<CidrRange>,
        /// Whether the ranges are the ones that may be connected to.
        inverted: bool,
    },
}

impl Refused {
    /// Whether `ip` is not connected to. IPv4 addresses mapped into IPv6 count as IPv4.
    pub fn has(&self, ip: IpAddr) -> bool {
        match self {
            Self::Local => nearby::is_nearby(ip),
            Self::Ranges { ranges, inverted } => ranges.iter().any(|range| range.contains(ip)) != *inverted,
        }
    }
}

/// The host that a route names instead of the request's (`PerRouteConfig`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ForwardHost {
    /// This one.
    Literal(Arc<str>),
    /// The one in this header, if it is there.
    Header(HeaderKey),
}

/// `envoy.filters.network.sni_dynamic_forward_proxy`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SniForward {
    /// What is remembered of names.
    pub names: Arc<DnsCache>,
    /// The port that is connected to. Default 443.
    pub port: u16,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn the_machine_and_its_link_are_refused_by_default() {
        for local in ["127.0.0.1", "169.254.169.254", "100.100.100.200", "::ffff:127.0.0.1"] {
            assert!(Refused::Local.has(ip(local)), "{local}");
        }
        for other in ["10.0.0.1", "192.168.1.1", "93.184.216.34", "fd00::1", "2001:db8::1", "128.0.0.1"] {
            assert!(!Refused::Local.has(ip(other)), "{other}");
        }
    }

    #[test]
    fn ranges_say_otherwise() {
        let ranges = vec![CidrRange::new(ip("10.0.0.0"), 8)];
        let these = Refused::Ranges { ranges: ranges.clone(), inverted: false };
        assert!(these.has(ip("10.1.1.1")) && !these.has(ip("127.0.0.1")));
        let others = Refused::Ranges { ranges, inverted: true };
        assert!(!others.has(ip("10.1.1.1")) && others.has(ip("127.0.0.1")));
    }
}
