//! Cross-origin resource sharing (`envoy.filters.http.cors`).

use std::sync::Arc;

use super::matcher::{Fraction, StringMatcher};

/// The policy in force on a route: of the route where it says something, of the virtual host otherwise.
#[derive(Clone, Debug)]
pub struct CorsPolicy {
    /// Origins that may ask.
    pub allow_origins: Vec<StringMatcher>,
    /// `access-control-allow-methods`; empty for none.
    pub allow_methods: Arc<str>,
    /// `access-control-allow-headers`; empty for none.
    pub allow_headers: Arc<str>,
    /// `access-control-expose-headers`; empty for none.
    pub expose_headers: Arc<str>,
    /// `access-control-max-age`; empty for none.
    pub max_age: Arc<str>,
    /// Whether credentials may be sent.
    pub allow_credentials: bool,
    /// Whether private network requests are allowed.
    pub allow_private_network: bool,
    /// Whether preflights of origins that do not match go to the upstream (default) instead of being answered.
    pub forward_not_matching_preflights: bool,
    /// For how many requests the policy is in force.
    pub enabled: Fraction,
    /// For how many requests it is only counted.
    pub shadow: Fraction,
}
