//! gRPC: trailers-only answers, statuses of local replies, and what is logged.

use serde_json::json;

use crate::harness::{
    Area,
    answer::{Ending, hang_up, status},
    case::{get, grpc, h2, request},
    config::{any_host, http2, prefix, single_use},
};

pub fn area() -> Area {
    let mut a = Area::new("grpc");
    a.logging("%RESPONSE_CODE% %RESPONSE_FLAGS% %GRPC_STATUS% %GRPC_STATUS_NUMBER% %RESPONSE_CODE_DETAILS% %TRAILER(grpc-message)%");
    a.cluster("app", &["one"], http2());
    a.cluster("app1", &["two"], single_use());
    a.cluster("down", &["down"], http2());
    let mut routes = vec![
        prefix("/h1", "app1", json!({})),
        prefix("/down", "down", json!({})),
        prefix("/gone", "nowhere", json!({})),
        json!({ "match": { "prefix": "/redirect" }, "redirect": { "path_redirect": "/x" } }),
    ];
    for code in [200, 400, 401, 403, 404, 418, 429, 500, 502, 503, 504] {
        routes.push(json!({ "match": { "path": format!("/direct/{code}") }, "direct_response": { "status": code, "body": { "inline_string": format!("a b%\"{code}") } } }));
    }
    routes.push(prefix("/app", "app", json!({})));
    a.http("in", any_host(json!(routes)), json!({}));
    let done = |code: &str| {
        status(200).header("content-type", "application/grpc").body("\0\0\0\0\x02ok").trailer("grpc-status", code).trailer("grpc-message", "a%20b")
    };
    for code in ["0", "1", "5", "14", "16", "17", "x", "-1"] {
        a.case(format!("status {code}"), "in", h2(grpc("/app"))).answer(done(code));
        a.case(format!("trailers only {code}"), "in", h2(grpc("/app")))
            .answer(status(200).header("content-type", "application/grpc").header("grpc-status", code).header("grpc-message", "m").body(""));
    }
    a.case("no status", "in", h2(grpc("/app"))).answer(status(200).header("content-type", "application/grpc").body("x"));
    a.case("over h1", "in", h2(grpc("/h1"))).answer(done("3"));
    a.case("h1 client", "in", grpc("/app")).answer(done("0"));
    a.case("h1 both", "in", grpc("/h1")).answer(done("0"));
    for code in [200, 400, 401, 403, 404, 418, 429, 500, 502, 503, 504] {
        a.case(format!("direct {code}"), "in", h2(grpc(&format!("/direct/{code}"))));
    }
    a.case("direct over h1", "in", grpc("/direct/503"));
    for code in [404, 503, 301] {
        a.case(format!("http status {code}"), "in", h2(grpc("/app"))).answer(status(code).body("plain"));
    }
    a.case("no route", "in", h2(grpc("/none")));
    a.case("no cluster", "in", h2(grpc("/gone")));
    a.case("redirect", "in", h2(grpc("/redirect")));
    a.case("nobody there", "in", h2(grpc("/down")));
    a.case("hangs up", "in", h2(grpc("/h1"))).answer(hang_up());
    a.case("resets", "in", h2(grpc("/app"))).answer(status(200).ending(Ending::Reset));
    a.case("breaks off", "in", h2(grpc("/app"))).answer(done("0").ending(Ending::BreakOff));
    a.case("get", "in", h2(get("/direct/503").header("content-type", "application/grpc")));
    a.case("head", "in", h2(request("HEAD", "/direct/503").header("content-type", "application/grpc")));
    a.case("web", "in", h2(grpc("/direct/503").header("content-type", "application/grpc-web")));
    a.case("json", "in", h2(get("/direct/503").header("content-type", "application/grpc+json; charset=x")));
    a.case("upper", "in", h2(get("/direct/503").header("content-type", "application/GRPC")));
    a
}
