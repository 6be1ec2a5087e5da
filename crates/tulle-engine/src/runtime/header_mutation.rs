//! `envoy.filters.http.header_mutation` and `envoy.filters.http.set_metadata`.

use std::sync::Arc;

use super::headers::{AppendAction, HeaderAdd, Template};
use super::matcher::{HeaderName, StringMatcher};
use super::metadata::Fields;

/// The mutations of a filter.
#[derive(Clone, Debug)]
pub struct HeaderMutationFilter {
    /// Those that come first.
    pub own: Arc<Mutations>,
    /// Whether those of the route come after those of the virtual host and of the table; by default they come before.
    pub most_specific_wins: bool,
}

/// Changes to a request and to its response, each in order.
#[derive(Clone, Debug, Default)]
pub struct Mutations {
    /// Changes to the request's fields.
    pub request: Vec<HeaderMutation>,
    /// Changes to the request's query, after those to its fields.
    pub query: Vec<QueryMutation>,
    /// Changes to the response's fields.
    pub response: Vec<HeaderMutation>,
}

/// A change to fields.
#[derive(Clone, Debug)]
pub enum HeaderMutation {
    /// The field goes.
    Remove(HeaderName),
    /// The fields go whose lower-case name matches.
    RemoveMatching(StringMatcher),
    /// A field comes.
    Add(HeaderAdd),
}

/// A change to the query.
#[derive(Clone, Debug)]
pub enum QueryMutation {
    /// The parameters of that name go.
    Remove(Arc<str>),
    /// A parameter comes; its value is percent-encoded.
    Add(Arc<str>, Template, AppendAction),
}

/// What a filter writes into a request's metadata.
#[derive(Clone, Debug, PartialEq)]
pub struct SetMetadata {
    /// Where.
    pub namespace: Arc<str>,
    /// What.
    pub value: Fields,
    /// Whether it is merged into what is there already; otherwise that stays as it is.
    pub allow_overwrite: bool,
}
