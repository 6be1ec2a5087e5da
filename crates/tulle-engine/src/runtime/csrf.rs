//! `envoy.filters.http.csrf`.

use super::matcher::{Fraction, StringMatcher};

/// Refuses requests that change something and come from a page of another origin.
#[derive(Clone, Debug)]
pub struct CsrfPolicy {
    /// How many requests it decides about.
    pub enabled: Fraction,
    /// How many of the others it only counts.
    pub shadow: Fraction,
    /// Origins beside the request's own host that are allowed: host, with port where there is one.
    pub additional_origins: Vec<StringMatcher>,
}
