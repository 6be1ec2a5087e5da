//! Compressors and decompressors: which messages they change, and how their heads say so.

use std::io::Write as _;

use flate2::{Compression, write::GzEncoder};
use serde_json::{Value, json};

use crate::harness::{
    Area,
    answer::{Answer, Framing, status},
    case::{get, h2, post, request},
    config::{any_host, filter, merged, prefix, router},
};

const TEXT: &str = "some text that is long enough to be compressed, some text that is long enough";

fn packed(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

fn gzip(of: &str) -> Value {
    let kind = match of {
        "compressor" => "envoy.extensions.compression.gzip.compressor.v3.Gzip",
        _ => "envoy.extensions.compression.gzip.decompressor.v3.Gzip",
    };
    filter("gzip", kind, json!({}))
}

pub fn area() -> Area {
    let mut a = Area::new("compression");
    a.cluster("app", &["one"], json!({}));
    let compressor = |more: Value| {
        filter("c", "envoy.extensions.filters.http.compressor.v3.Compressor", merged(json!({ "compressor_library": gzip("compressor") }), &more))
    };
    let decompressor = |more: Value| {
        filter("d", "envoy.extensions.filters.http.decompressor.v3.Decompressor", merged(json!({ "decompressor_library": gzip("decompressor") }), &more))
    };
    let per_route = |change: Value| {
        let kind = "type.googleapis.com/envoy.extensions.filters.http.compressor.v3.CompressorPerRoute";
        json!({ "typed_per_filter_config": { "c": merged(json!({ "@type": kind }), &change) } })
    };
    let routes = || {
        any_host(json!([
            merged(prefix("/off", "app", json!({})), &per_route(json!({ "disabled": true }))),
            merged(prefix("/on", "app", json!({})), &per_route(json!({ "overrides": { "response_direction_config": { "remove_accept_encoding_header": true } } }))),
            { "match": { "prefix": "/direct" }, "direct_response": { "status": 200, "body": { "inline_string": TEXT } } },
            prefix("/", "app", json!({})),
        ]))
    };
    let response = |more: Value| json!({ "response_direction_config": more });
    for (name, filters) in [
        ("plain", vec![compressor(json!({}))]),
        ("short", vec![compressor(response(json!({ "common_config": { "min_content_length": 100 } })))]),
        ("types", vec![compressor(response(json!({ "common_config": { "content_type": ["text/html"] } })))]),
        ("disabled", vec![compressor(response(json!({ "common_config": { "enabled": { "default_value": false, "runtime_key": "k" } } })))]),
        ("etag", vec![compressor(response(json!({ "disable_on_etag_header": true })))]),
        ("removing", vec![compressor(response(json!({ "remove_accept_encoding_header": true })))]),
        ("codes", vec![compressor(response(json!({ "uncompressible_response_codes": [404, 500] })))]),
        ("requests", vec![compressor(json!({ "request_direction_config": { "common_config": {
            "enabled": { "default_value": true, "runtime_key": "k" } } } }))]),
        ("unpacking", vec![decompressor(json!({}))]),
        ("quiet", vec![decompressor(json!({ "request_direction_config": { "advertise_accept_encoding": false } }))]),
        ("both", vec![compressor(json!({})), decompressor(json!({}))]),
    ] {
        let filters: Vec<Value> = filters.into_iter().chain([router()]).collect();
        a.http(name, routes(), json!({ "http_filters": filters }));
        let takes = |r: crate::harness::case::Request| r.header("accept-encoding", "gzip");
        let text = || status(200).header("content-type", "text/html").body(TEXT);
        a.case(format!("{name} for nobody"), name, get("/")).answer(text());
        a.case(format!("{name} for gzip"), name, takes(get("/"))).answer(text());
        a.case(format!("{name} over h2"), name, h2(takes(get("/")))).answer(text());
        a.case(format!("{name} head"), name, takes(request("HEAD", "/"))).answer(text());
        a.case(format!("{name} direct"), name, takes(get("/direct")));
        a.case(format!("{name} off"), name, takes(get("/off"))).answer(text());
        a.case(format!("{name} on"), name, takes(get("/on"))).answer(text());
        a.case(format!("{name} chunked"), name, takes(get("/"))).answer(text().framing(Framing::Chunked));
        a.case(format!("{name} post"), name, post("/", TEXT).header("content-type", "text/html")).answer(text());
        a.case(format!("{name} packed post"), name, {
            let mut r = request("POST", "/").header("content-encoding", "gzip");
            r.body = Some(packed(TEXT));
            r
        });
        let answers: [(&str, Answer); 13] = [
            ("packed", status(200).header("content-encoding", "gzip").body(packed(TEXT))),
            ("packed twice", status(200).header("content-encoding", "gzip, gzip").body(packed(TEXT))),
            ("brotli", status(200).header("content-encoding", "br").body("xxx")),
            ("no-transform", text().header("cache-control", "private, no-transform")),
            ("strong etag", text().header("etag", "\"a\"")),
            ("weak etag", text().header("etag", "W/\"a\"")),
            ("vary", text().header("vary", "origin")),
            ("vary star", text().header("vary", "*")),
            ("image", status(200).header("content-type", "image/png").body(TEXT)),
            ("json", status(200).header("content-type", "application/json; charset=x").body(TEXT)),
            ("not found", status(404).body(TEXT)),
            ("no content", status(204)),
            ("little", status(200).body("little")),
        ];
        for (what, answer) in answers {
            a.case(format!("{name} {what}"), name, takes(get("/"))).answer(answer);
        }
    }
    for (n, accept) in ["*", "identity", "gzip;q=0", "br, gzip;q=0.5", "gzip;q=0.5, identity", "deflate", "GZIP", "", "x-gzip"].into_iter().enumerate() {
        a.case(format!("accepts {n} {accept:?}"), "plain", get("/").header("accept-encoding", accept)).answer(status(200).body(TEXT));
    }
    a
}
