//! The analyzers, one file each. A new one is a file here, a line in the list of its folder, and a folder of examples
//! (`tests/examples/NAME/good.yaml` and `bad.yaml`).

mod istio;
mod ours;

use crate::analyzer::Analyzer;

/// Every analyzer with the name of its file, by code.
pub fn all() -> impl Iterator<Item = &'static (&'static str, Analyzer)> {
    istio::ALL.iter().chain(ours::ALL)
}
