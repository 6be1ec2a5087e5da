//! Response flags: what happened to a request beyond its status (Envoy's `%RESPONSE_FLAGS%`).

macro_rules! flags {
    ($($(#[$doc:meta])* $name:ident = $short:literal, $long:literal;)*) => {
        /// One response flag. The order is the order in which they are printed.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum ResponseFlag {
            $($(#[$doc])* $name,)*
        }

        impl ResponseFlag {
            /// All of them, in order.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// As in access logs and metrics, such as `UF`.
            pub fn short(self) -> &'static str {
                match self { $(Self::$name => $short),* }
            }

            /// As in `%RESPONSE_FLAGS_LONG%`, such as `UpstreamConnectionFailure`.
            pub fn long(self) -> &'static str {
                match self { $(Self::$name => $long),* }
            }
        }
    };
}

flags! {
    /// Local health check failing.
    FailedLocalHealthCheck = "LH", "FailedLocalHealthCheck";
    /// No healthy endpoint.
    NoHealthyUpstream = "UH", "NoHealthyUpstream";
    /// The route's time ran out.
    UpstreamRequestTimeout = "UT", "UpstreamRequestTimeout";
    /// The stream was reset on our side.
    LocalReset = "LR", "LocalReset";
    /// The endpoint reset the stream.
    UpstreamRemoteReset = "UR", "UpstreamRemoteReset";
    /// No connection to the endpoint.
    UpstreamConnectionFailure = "UF", "UpstreamConnectionFailure";
    /// The endpoint closed the connection in the middle.
    UpstreamConnectionTermination = "UC", "UpstreamConnectionTermination";
    /// A circuit breaker is open.
    UpstreamOverflow = "UO", "UpstreamOverflow";
    /// No route.
    NoRouteFound = "NR", "NoRouteFound";
    /// A fault injected delay.
    DelayInjected = "DI", "DelayInjected";
    /// A fault injected abort.
    FaultInjected = "FI", "FaultInjected";
    /// Local rate limit.
    RateLimited = "RL", "RateLimited";
    /// External authorization refused.
    UnauthorizedExternalService = "UAEX", "UnauthorizedExternalService";
    /// The rate limit service failed.
    RateLimitServiceError = "RLSE", "RateLimitServiceError";
    /// The client went away.
    DownstreamConnectionTermination = "DC", "DownstreamConnectionTermination";
    /// Attempts used up (retries of HTTP, connects of TCP).
    UpstreamRetryLimitExceeded = "URX", "UpstreamRetryLimitExceeded";
    /// The stream was idle for too long.
    StreamIdleTimeout = "SI", "StreamIdleTimeout";
    /// A header that is checked strictly has a bad value.
    InvalidEnvoyRequestHeaders = "IH", "InvalidEnvoyRequestHeaders";
    /// The client spoke malformed HTTP.
    DownstreamProtocolError = "DPE", "DownstreamProtocolError";
    /// The upstream stream lived for too long.
    UpstreamMaxStreamDurationReached = "UMSDR", "UpstreamMaxStreamDurationReached";
    /// Served from a cache.
    ResponseFromCacheFilter = "RFCF", "ResponseFromCacheFilter";
    /// A filter has no configuration.
    NoFilterConfigFound = "NFCF", "NoFilterConfigFound";
    /// The connection lived for too long.
    DurationTimeout = "DT", "DurationTimeout";
    /// The endpoint spoke malformed HTTP.
    UpstreamProtocolError = "UPE", "UpstreamProtocolError";
    /// The route names a cluster that does not exist.
    NoClusterFound = "NC", "NoClusterFound";
    /// The overload manager refused.
    OverloadManager = "OM", "OverloadManager";
    /// The endpoint's name could not be resolved.
    DnsResolutionFailed = "DF", "DnsResolutionFailed";
    /// Dropped by the cluster's drop policy.
    DropOverload = "DO", "DropOverLoad";
    /// The client reset the stream.
    DownstreamRemoteReset = "DR", "DownstreamRemoteReset";
    /// Dropped without condition by the cluster's drop policy.
    UnconditionalDropOverload = "UDO", "UnconditionalDropOverload";
}

/// A set of response flags.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct ResponseFlags(u32);

impl ResponseFlags {
    /// No flag.
    pub const NONE: Self = Self(0);

    /// The set as a number, one bit for each flag in order.
    pub fn bits(self) -> u32 {
        self.0
    }

    /// Reads what [`ResponseFlags::bits`] returned; unknown bits are dropped.
    pub fn from_bits(bits: u32) -> Self {
        Self(bits & ((1 << ResponseFlag::ALL.len()) - 1))
    }

    /// Adds a flag.
    pub fn insert(&mut self, flag: ResponseFlag) {
        self.0 |= 1 << flag as u8;
    }

    /// Whether the flag is in the set.
    pub fn contains(self, flag: ResponseFlag) -> bool {
        self.0 & (1 << flag as u8) != 0
    }

    /// Whether there is none.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The flags in order.
    pub fn iter(self) -> impl Iterator<Item = ResponseFlag> {
        ResponseFlag::ALL.iter().copied().filter(move |f| self.contains(*f))
    }

    /// Appends the short names, joined by commas; `-` for an empty set.
    pub fn write_short(self, out: &mut Vec<u8>) {
        self.write(out, ResponseFlag::short);
    }

    /// Appends the long names, joined by commas; `-` for an empty set.
    pub fn write_long(self, out: &mut Vec<u8>) {
        self.write(out, ResponseFlag::long);
    }

    fn write(self, out: &mut Vec<u8>, name: fn(ResponseFlag) -> &'static str) {
        if self.is_empty() {
            out.push(b'-');
        }
        for (i, flag) in self.iter().enumerate() {
            if i > 0 {
                out.push(b',');
            }
            out.extend_from_slice(name(flag).as_bytes());
        }
    }
}

impl From<ResponseFlag> for ResponseFlags {
    fn from(flag: ResponseFlag) -> Self {
        let mut set = Self::NONE;
        set.insert(flag);
        set
    }
}

impl std::fmt::Display for ResponseFlags {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut out = Vec::with_capacity(8);
        self.write_short(&mut out);
        f.write_str(&String::from_utf8_lossy(&out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_print_as_envoy_prints_them() {
        let mut flags = ResponseFlags::NONE;
        assert_eq!(flags.to_string(), "-");
        flags.insert(ResponseFlag::UpstreamRetryLimitExceeded);
        flags.insert(ResponseFlag::UpstreamConnectionFailure);
        assert_eq!(flags.to_string(), "UF,URX");
        assert_eq!(ResponseFlags::from_bits(flags.bits()), flags);
        assert!(ResponseFlag::ALL.len() <= 32);
    }
}
