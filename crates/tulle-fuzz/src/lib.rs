//! Every parser of what people and peers send, as a function of bytes that must not panic, and whose result must hold
//! together: what is read is written back the same.
//!
//! `fuzz/` feeds the functions to libFuzzer (see `fuzz/README.md`); the test of this crate feeds each the seeds of
//! `fuzz/corpus` and mutations of them, the same ones in every run.

pub mod mutate;
mod seeds;
mod targets;

pub use seeds::seeds;

/// A parser.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name, also that of its folder of seeds and of its program in `fuzz/`.
    pub name: &'static str,
    /// Reads bytes; panics only if there is a fault.
    pub run: fn(&[u8]),
    /// Words that make mutations reach deeper.
    pub words: &'static [&'static str],
}

/// Every target.
pub const TARGETS: &[Target] = &[
    targets::manifests::TARGET,
    targets::documents::TARGET,
    targets::durations::TARGET,
    targets::hosts::TARGET,
    targets::store_messages::TARGET,
    targets::proto_json::TARGET,
    targets::xds::TARGET,
    targets::xds_any::TARGET,
    targets::http1::TARGET,
    targets::http1_grammar::TARGET,
    targets::translation::TARGET,
    targets::http2::TARGET,
    targets::hpack::TARGET,
    targets::access_log::TARGET,
    targets::api_requests::TARGET,
    targets::patches::TARGET,
    targets::identity_requests::TARGET,
    targets::first_bytes::TARGET,
    targets::dns::TARGET,
    targets::jwt::TARGET,
    targets::telemetry_files::TARGET,
    targets::queries::TARGET,
];

/// The target `name`.
pub fn target(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|t| t.name == name)
}

/// Runs the target `name`, for the programs in `fuzz/`.
///
/// # Panics
/// When there is no such target, and when the target finds a fault.
pub fn run(name: &str, bytes: &[u8]) {
    let Some(target) = target(name) else { panic!("there is no target {name}") };
    (target.run)(bytes);
}
