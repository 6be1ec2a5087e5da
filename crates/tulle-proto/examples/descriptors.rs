//! Writes `src/descriptors.bin`, the descriptor set of `tulle_proto::json`: `cargo run -p tulle-proto --example descriptors`.
//!
//! The messages come from the `envoy-types` package (its own descriptor set, found through `cargo metadata`), less what
//! no message that we know can reach, and from the definitions of Istio's messages below.

#[path = "descriptors/istio.rs"]
mod istio;
#[path = "descriptors/prune.rs"]
mod prune;

use std::path::{Path, PathBuf};

use prost::Message as _;

fn main() -> Result<(), String> {
    let set = prune::build(&types_bin()?)?;
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/descriptors.bin");
    let bytes = set.encode_to_vec();
    std::fs::write(&path, &bytes).map_err(|error| format!("{}: {error}", path.display()))?;
    #[allow(clippy::print_stdout, reason = "a tool tells what it did")]
    {
        println!("{} files, {} bytes", set.file.len(), bytes.len());
    }
    Ok(())
}

/// Where the locked version of `envoy-types` keeps its descriptor set.
fn types_bin() -> Result<Vec<u8>, String> {
    let path = prune::envoy_types_dir()?.join("src/generated/types.bin");
    read(&path)
}

fn read(path: &PathBuf) -> Result<Vec<u8>, String> {
    std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))
}
