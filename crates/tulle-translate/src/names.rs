//! Names of clusters, as Istio builds and reads them.

use std::fmt;

use tulle_base::Host;

/// Which way a cluster's traffic goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// From the workload.
    Outbound,
    /// To the workload.
    Inbound,
}

/// `outbound|PORT|SUBSET|HOST` or `inbound|PORT||`; for TLS that passes a gateway by its server name, that name:
/// `outbound_.PORT_.SUBSET_.HOST`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ClusterName {
    /// Direction.
    pub direction: Direction,
    /// Port: of the service outbound, of the workload inbound.
    pub port: u16,
    /// Subset, empty for the whole service.
    pub subset: String,
    /// Host, empty inbound.
    pub host: String,
    /// Whether it is the one for what passes by server name.
    pub by_sni: bool,
}

impl ClusterName {
    /// The name of an outbound cluster.
    pub fn outbound(host: &Host, port: u16, subset: &str) -> Self {
        Self {
            direction: Direction::Outbound,
            port,
            subset: subset.to_owned(),
            host: host.as_str().to_owned(),
            by_sni: false,
        }
    }

    /// The name of an inbound cluster.
    pub fn inbound(port: u16) -> Self {
        Self {
            direction: Direction::Inbound,
            port,
            subset: String::new(),
            host: String::new(),
            by_sni: false,
        }
    }

    /// Reads a name; `None` for names of another form, such as `PassthroughCluster`.
    pub fn parse(name: &str) -> Option<Self> {
        let by_sni = !name.contains('|');
        let mut parts = name.split(if by_sni { "_." } else { "|" });
        let direction = match parts.next()? {
            "outbound" => Direction::Outbound,
            "inbound" if !by_sni => Direction::Inbound,
            _ => return None,
        };
        let (port, subset, host) = (parts.next()?.parse().ok()?, parts.next()?, parts.next()?);
        let whole = parts.next().is_none();
        whole.then(|| Self { direction, port, subset: subset.into(), host: host.into(), by_sni })
    }

    /// The one for what passes by server name in place of this one.
    pub(crate) fn for_sni(self) -> Self {
        Self { by_sni: true, ..self }
    }

    /// The server name in mutual TLS: `outbound_.PORT_.SUBSET_.HOST`.
    pub fn sni(&self) -> String {
        self.clone().for_sni().to_string()
    }
}

impl fmt::Display for ClusterName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let direction = match self.direction {
            Direction::Outbound => "outbound",
            Direction::Inbound => "inbound",
        };
        let between = if self.by_sni { "_." } else { "|" };
        write!(f, "{direction}{between}{}{between}{}{between}{}", self.port, self.subset, self.host)
    }
}

/// Unknown destinations that may pass.
pub(crate) const PASSTHROUGH: &str = "PassthroughCluster";
/// Unknown destinations that may not.
pub(crate) const BLACK_HOLE: &str = "BlackHoleCluster";
/// What may not be referred to, or is of an unknown kind: there never is a cluster of this name.
pub(crate) const NOWHERE: &str = "InvalidBackend";
/// Inbound ports that no service declares.
pub(crate) const INBOUND_PASSTHROUGH: &str = "InboundPassthroughCluster";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip() {
        let name = ClusterName::outbound(&"a.b.svc.cluster.local".into(), 80, "v1");
        assert_eq!(name.to_string(), "outbound|80|v1|a.b.svc.cluster.local");
        assert_eq!(name.sni(), "outbound_.80_.v1_.a.b.svc.cluster.local");
        assert_eq!(ClusterName::parse(&name.sni()), Some(name.clone().for_sni()));
        assert_eq!(ClusterName::parse(&name.to_string()), Some(name));
        assert_eq!(ClusterName::parse("inbound|80||"), Some(ClusterName::inbound(80)));
        let others = ["PassthroughCluster", "outbound|x||h", "outbound|80||h|more", "outbound|99999||h"];
        for other in others.into_iter().chain(["outbound_.x_._.h", "inbound_.80_._."]) {
            assert_eq!(ClusterName::parse(other), None, "{other}");
        }
    }
}
