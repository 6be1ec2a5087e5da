//! Ports of services, and the choice of their protocol.

/// What a port speaks, as far as listeners and clusters must know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Protocol {
    /// HTTP/1.1 (and HTTP/2 when a client begins with it).
    Http,
    /// HTTP/2 without TLS.
    Http2,
    /// gRPC over HTTP/2.
    Grpc,
    /// gRPC-Web over HTTP/1.1.
    GrpcWeb,
    /// TLS that carries HTTP; opaque to the mesh.
    Https,
    /// TLS; opaque to the mesh.
    Tls,
    /// Opaque bytes. Mongo, Redis and MySQL are this as well: their filters are not built.
    Tcp,
    /// Datagrams: no listener.
    Udp,
    /// Not declared: each connection is looked at.
    Sniff,
}

/// How a port is served: the three ways in which Istio builds listeners.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Serving {
    /// An HTTP connection manager.
    Http,
    /// A TCP proxy.
    Tcp,
    /// Either, by the first bytes.
    Auto,
}

impl Protocol {
    /// Reads a protocol name as in a port name prefix, an `appProtocol` or a Gateway server; `None` when unknown.
    pub fn parse(name: &str) -> Option<Self> {
        Some(match name.to_ascii_lowercase().as_str() {
            "http" | "http_proxy" | "kubernetes.io/ws" => Self::Http,
            "http2" | "kubernetes.io/h2c" => Self::Http2,
            "grpc" => Self::Grpc,
            "grpc-web" => Self::GrpcWeb,
            "https" | "kubernetes.io/wss" => Self::Https,
            "tls" => Self::Tls,
            "tcp" | "mongo" | "redis" | "mysql" | "hbone" => Self::Tcp,
            "udp" => Self::Udp,
            _ => return None,
        })
    }

    /// Istio's order: `appProtocol`, then the name's prefix up to a dash, then ports known for protocols in which the
    /// server speaks first, else sniffing. `transport` is `TCP`, `UDP` or `SCTP` as in a Kubernetes port.
    pub fn select(transport: &str, app_protocol: Option<&str>, name: &str, number: u16) -> Self {
        if transport.eq_ignore_ascii_case("UDP") || transport.eq_ignore_ascii_case("SCTP") {
            return Self::Udp;
        }
        if let Some(protocol) = app_protocol.and_then(Self::parse) {
            return protocol;
        }
        // `grpc-web` and `grpc-web-x` before `grpc`: the longest known prefix wins.
        if name == "grpc-web" || name.starts_with("grpc-web-") {
            return Self::GrpcWeb;
        }
        if let Some(protocol) = Self::parse(name.split('-').next().unwrap_or_default()) {
            return protocol;
        }
        if server_first(number) { Self::Tcp } else { Self::Sniff }
    }

    /// How listeners serve it; `None` for datagrams.
    pub fn serving(self) -> Option<Serving> {
        match self {
            Self::Http | Self::Http2 | Self::Grpc | Self::GrpcWeb => Some(Serving::Http),
            Self::Https | Self::Tls | Self::Tcp => Some(Serving::Tcp),
            Self::Sniff => Some(Serving::Auto),
            Self::Udp => None,
        }
    }

    /// Whether requests are always HTTP/2.
    pub fn is_http2(self) -> bool {
        matches!(self, Self::Http2 | Self::Grpc)
    }

    /// Whether it is declared to be HTTP that the mesh can read.
    pub fn is_http(self) -> bool {
        self.serving() == Some(Serving::Http)
    }

    /// Whether the bytes are TLS made by the application.
    pub fn is_tls(self) -> bool {
        matches!(self, Self::Https | Self::Tls)
    }
}

/// Ports on which the server is known to speak first, so sniffing would wait for nothing: SMTP, DNS, MySQL, MongoDB
/// (Istio's well-known ports).
fn server_first(number: u16) -> bool {
    matches!(number, 25 | 53 | 3306 | 27017)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn app_protocol_then_name_then_number_then_sniffing() {
        let select = |app, name, number| Protocol::select("TCP", app, name, number);
        assert_eq!(select(Some("http2"), "tcp-x", 80), Protocol::Http2);
        assert_eq!(select(Some("kubernetes.io/h2c"), "", 9080), Protocol::Http2);
        assert_eq!(select(Some("kubernetes.io/ws"), "", 9080), Protocol::Http);
        assert_eq!(select(None, "http-web", 80), Protocol::Http);
        assert_eq!(select(None, "http", 80), Protocol::Http);
        assert_eq!(select(None, "grpc-web-api", 80), Protocol::GrpcWeb);
        assert_eq!(select(None, "grpc", 80), Protocol::Grpc);
        assert_eq!(select(None, "httpd", 80), Protocol::Sniff, "a prefix ends at a dash");
        assert_eq!(select(Some("example.com/own"), "http", 80), Protocol::Http);
        assert_eq!(select(None, "", 3306), Protocol::Tcp);
        assert_eq!(select(None, "", 9080), Protocol::Sniff);
        assert_eq!(Protocol::select("UDP", None, "http", 80), Protocol::Udp);
    }
}
