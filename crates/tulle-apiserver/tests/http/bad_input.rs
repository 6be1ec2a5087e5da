//! Whatever comes in, a Status goes out.

use proptest::prelude::*;
use serde_json::json;
use tulle_apiserver::Limits;
use tulle_store::Memory;

use crate::support::Api;

const PATH: &str = "/api/v1/namespaces/shop/configmaps";

#[test]
fn every_failure_has_its_code() {
    let api = Api::with(Memory::new(), Limits { body: 1000, ..Limits::default() });
    let json = ("content-type", "application/json");
    let protobuf = "application/vnd.kubernetes.protobuf";
    let big = format!("{{\"data\":{{\"k\":\"{}\"}}}}", "x".repeat(2000));
    for (method, path, headers, body, code) in [
        ("POST", PATH, vec![json], "{", 400),
        ("POST", PATH, vec![json], "[]", 400),
        ("POST", PATH, vec![json], "{\"metadata\": 5}", 400),
        ("POST", PATH, vec![json], "{\"metadata\": {\"name\": \"A_b\"}}", 422),
        ("POST", PATH, vec![json], "{\"metadata\": {}}", 422),
        ("POST", PATH, vec![json], "{\"metadata\": {\"name\": \"a\", \"namespace\": \"other\"}}", 400),
        ("POST", PATH, vec![json], "{\"kind\": \"Secret\", \"metadata\": {\"name\": \"a\"}}", 400),
        ("POST", PATH, vec![json], &big, 413),
        ("POST", PATH, vec![("content-type", "application/cbor")], "k8s", 415),
        ("POST", PATH, vec![("content-type", protobuf)], "k8s\0\x0a\x00", 415),
        ("GET", PATH, vec![("accept", protobuf)], "", 406),
        ("PUT", PATH, vec![json], "{}", 405),
        ("POST", "/api/v1/namespaces/shop/configmaps/a", vec![json], "{}", 405),
        ("POST", "/api/v1/configmaps", vec![json], "{\"metadata\": {\"name\": \"a\"}}", 405),
        ("PUT", "/api/v1/namespaces/shop/configmaps/a", vec![json], "{}", 404),
        ("PATCH", "/api/v1/namespaces/shop/configmaps/a", vec![json], "{}", 404),
        ("GET", "/api/v1/namespaces/shop/pods/a/log", vec![], "", 404),
        ("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", vec![json], "{}", 400),
        ("GET", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", vec![], "", 405),
        ("GET", &format!("{PATH}?limit=x"), vec![], "", 400),
        ("GET", &format!("{PATH}?watch=maybe"), vec![], "", 400),
    ] {
        let answer = api.request(method, path, &headers, body.as_bytes());
        assert_eq!(answer.code, code, "{method} {path} {body:.60}: {}", answer.text);
        answer.reason();
    }
}

#[test]
fn deep_nesting_is_refused() {
    let api = Api::start();
    let deep = "[".repeat(100_000);
    for media in ["application/json", "application/yaml"] {
        let answer = api.request("POST", PATH, &[("content-type", media)], deep.as_bytes());
        assert_eq!(answer.reason(), "BadRequest");
    }
}

#[test]
fn arbitrary_bytes_never_panic() {
    let api = Api::start();
    api.config_map("a", &json!({}), &json!({}));
    let one = format!("{PATH}/a");
    let media = [
        "application/json",
        "application/yaml",
        "application/json-patch+json",
        "application/merge-patch+json",
        "application/strategic-merge-patch+json",
        "application/apply-patch+yaml",
    ];
    let runner = &mut proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(64));
    let bytes = prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..200),
        "[\\[\\]{}\":,a-c0-9\\-# \n]{0,80}".prop_map(String::into_bytes),
    ];
    let escaped = |text: &[u8]| text.iter().map(|b| format!("%{b:02x}")).collect::<String>();
    runner
        .run(&(bytes, 0..media.len()), |(bytes, n)| {
            let text = escaped(&bytes);
            let answers = [
                api.request("POST", PATH, &[("content-type", media[n])], &bytes),
                api.request("PATCH", &format!("{one}?fieldManager=x"), &[("content-type", media[n])], &bytes),
                api.request("DELETE", &format!("{PATH}/none"), &[("content-type", media[n])], &bytes),
                api.get(&format!("{PATH}?labelSelector={text}")),
                api.get(&format!("{PATH}?fieldSelector={text}")),
                api.get(&format!("{PATH}?continue={text}&resourceVersion={text}")),
                api.get(&format!("{PATH}?{}", text.replace("%26", "&").replace("%3d", "="))),
                api.get(&format!("/{text}")),
            ];
            for answer in answers {
                if answer.code >= 400 {
                    answer.reason();
                    prop_assert!(answer.code < 500 || answer.code == 504, "{}", answer.text);
                }
            }
            Ok(())
        })
        .unwrap();
    assert_eq!(api.get(PATH).code, 200);
}
