//! Configurations that only one of both takes, and why. `docs/envoy-differences.md` tells users of the kinds.

/// By name of the case.
pub const DIFFERENCES: &[(&str, &str)] = &[
    ("cluster bad certificate", "a cluster whose roots cannot be read connects to nobody"),
    ("listener chain without filters", "a connection that nobody serves is a mistake"),
    ("listener prefix too long", "there is no such prefix; Envoy cuts it"),
    ("listener direction unknown", "a value that does not exist is a mistake"),
    ("manager slash action unknown", "a value that does not exist is a mistake"),
    ("manager without filters", "a request that nobody answers is a mistake"),
    ("manager with authorization by nobody", "Envoy lets everything pass then"),
    ("manager with a mutation of a bad name", "no message can hold it"),
    ("hosts of two names alike", "names of virtual hosts must be unique (Envoy's documentation)"),
    ("hosts adding a bad name", "no message can hold it"),
    ("route rewrite of a group that is not there", "it would be empty always"),
    ("route retry with words that do not exist", "they would never be a reason"),
    ("route redirect to a port too large", "there is no such port"),
];
