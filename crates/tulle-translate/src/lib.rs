//! The pure function from snapshot and proxy to Envoy v3 resources.
