//! The committed descriptor set is in step with the locked `envoy-types`.

#[path = "../examples/descriptors/istio.rs"]
mod istio;
#[path = "../examples/descriptors/prune.rs"]
mod prune;

use prost::Message as _;

#[test]
fn committed_descriptors_are_those_of_the_locked_version() {
    let path = prune::envoy_types_dir().unwrap().join("src/generated/types.bin");
    let built = prune::build(&std::fs::read(path).unwrap()).unwrap().encode_to_vec();
    let committed = include_bytes!("../src/descriptors.bin");
    assert!(built == committed, "run: cargo run -p tulle-proto --example descriptors");
}

#[test]
fn every_type_url_has_a_json_form() {
    let json = tulle_proto::json::Json::load().unwrap();
    for url in tulle_proto::type_url::ALL {
        assert!(json.knows(url), "{url}");
    }
}
