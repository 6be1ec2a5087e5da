//! Added and removed headers at every level, append actions, and variables in values.

use serde_json::{Value, json};

use crate::harness::{
    Area,
    answer::status,
    case::{get, h2, post},
    config::{any_host, prefix, single_use},
};

fn add(key: &str, value: &str, action: &str) -> Value {
    json!({ "header": { "key": key, "value": value }, "append_action": action })
}

const ACTIONS: [&str; 4] =
    ["APPEND_IF_EXISTS_OR_ADD", "ADD_IF_ABSENT", "OVERWRITE_IF_EXISTS_OR_ADD", "OVERWRITE_IF_EXISTS"];

/// One change of every kind, named after its level.
fn level(level: &str) -> [(&'static str, Value); 4] {
    let adds = |suffix: &str| -> Value {
        let mut all: Vec<Value> = ACTIONS
            .iter()
            .map(|action| add(&format!("x-{}", action.to_lowercase().replace('_', "-")), &format!("{level}{suffix}"), action))
            .collect();
        all.push(add(&format!("x-{level}"), "only here", ACTIONS[0]));
        json!(all)
    };
    [
        ("request_headers_to_add", adds(" request")),
        ("request_headers_to_remove", json!([format!("x-drop-{level}")])),
        ("response_headers_to_add", adds(" response")),
        ("response_headers_to_remove", json!([format!("x-drop-{level}")])),
    ]
}

fn with(mut to: Value, members: impl IntoIterator<Item = (&'static str, Value)>) -> Value {
    for (key, value) in members {
        to[key] = value;
    }
    to
}

/// Values with variables, each in a header of its own.
const VALUES: &[&str] = &[
    "plain",
    "100%%",
    "%PROTOCOL%",
    "%REQ(x-in)%",
    "%REQ(X-In)%",
    "%REQ(x-missing)%",
    "%REQ(x-missing?x-in)%",
    "%REQ(x-in):2%",
    "%REQ(:path)%",
    "%REQ(:method)% and %REQ(:authority)%",
    "%REQ(:scheme)%",
    "%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%",
    "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%",
    "%DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT%",
    "%DOWNSTREAM_LOCAL_ADDRESS%",
    "%DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT%",
    "%DOWNSTREAM_LOCAL_PORT%",
    "%DOWNSTREAM_REMOTE_ADDRESS%",
    "%ROUTE_NAME%",
    "%VIRTUAL_CLUSTER_NAME%",
    "%UPSTREAM_CLUSTER%",
    "%UPSTREAM_REMOTE_ADDRESS%",
    "%UPSTREAM_HOST%",
    "%RESPONSE_CODE%",
    "%RESPONSE_FLAGS%",
    "%RESPONSE_CODE_DETAILS%",
    "%RESP(x-up)%",
    "%RESP(x-none)%",
    "%RESP(:status)%",
    "%REQUESTED_SERVER_NAME%",
    "%DOWNSTREAM_TLS_VERSION%",
    "%DOWNSTREAM_PEER_URI_SAN%",
    "[%REQ(x-missing)%]",
    "%STREAM_ID%",
];

pub fn area() -> Area {
    let mut a = Area::new("header_ops");
    a.cluster("app", &["one"], single_use());
    let weighted = with(json!({ "name": "app", "weight": 1 }), level("weighted"));
    let route = with(
        json!({ "match": { "prefix": "/levels" }, "route": { "weighted_clusters": { "clusters": [weighted] } } }),
        level("route"),
    );
    let direct = with(
        json!({ "match": { "prefix": "/direct" }, "direct_response": { "status": 200, "body": { "inline_string": "d" } } }),
        level("route"),
    );
    let redirect = with(
        json!({ "match": { "prefix": "/redirect" }, "redirect": { "path_redirect": "/x" } }),
        level("route"),
    );
    let lost = with(json!({ "match": { "prefix": "/lost" }, "route": { "cluster": "none" } }), level("route"));
    let host = with(
        json!({ "name": "all", "domains": ["*"], "routes": [route, direct, redirect, lost] }),
        level("host"),
    );
    let table = with(json!({ "virtual_hosts": [host] }), level("table"));
    a.http("levels", json!([]), json!({ "route_config": table }));
    let specific = with(table, [("most_specific_header_mutations_wins", json!(true))]);
    a.http("specific", json!([]), json!({ "route_config": specific }));

    let each = |list: &[&str]| -> Value {
        list.iter().enumerate().map(|(i, v)| add(&format!("x-v{i:02}"), v, ACTIONS[0])).collect()
    };
    let mut single: Vec<Value> = ACTIONS
        .iter()
        .map(|action| {
            with(
                prefix(&format!("/{}", action.to_lowercase()), "app", json!({})),
                [
                    ("request_headers_to_add", json!([add("x-h", "new", action), add("X-Case", "Case", action)])),
                    ("response_headers_to_add", json!([add("x-h", "new", action)])),
                ],
            )
        })
        .collect();
    single.extend([
        with(
            prefix("/values", "app", json!({ "prefix_rewrite": "/rewritten" })),
            [
                ("name", json!("the route")),
                ("request_headers_to_add", each(VALUES)),
                ("response_headers_to_add", each(VALUES)),
            ],
        ),
        with(
            json!({ "match": { "prefix": "/vdirect" }, "direct_response": { "status": 202 } }),
            [("name", json!("direct")), ("response_headers_to_add", each(VALUES))],
        ),
        with(
            prefix("/empty", "app", json!({})),
            [
                (
                    "request_headers_to_add",
                    json!([
                        add("x-empty", "", ACTIONS[0]),
                        { "header": { "key": "x-kept", "value": "" }, "keep_empty_value": true },
                        { "header": { "key": "x-gone", "value": "%REQ(x-missing)%" }, "append_action": ACTIONS[2] },
                        { "header": { "key": "x-old", "value": "a" }, "append": false },
                    ]),
                ),
                ("response_headers_to_add", json!([{ "header": { "key": "x-kept", "value": "" }, "keep_empty_value": true }])),
            ],
        ),
        with(
            prefix("/known", "app", json!({})),
            [
                (
                    "request_headers_to_add",
                    json!([
                        add("user-agent", "mine", ACTIONS[2]),
                        add("x-forwarded-for", "9.9.9.9", ACTIONS[0]),
                        add("x-request-id", "id", ACTIONS[2]),
                        add("cookie", "b=2", ACTIONS[0]),
                        add("accept", "text/a", ACTIONS[0]),
                        add("via", "1.1 x", ACTIONS[0]),
                    ]),
                ),
                ("request_headers_to_remove", json!(["accept-language", "X-UPPER"])),
                (
                    "response_headers_to_add",
                    json!([
                        add("set-cookie", "b=2", ACTIONS[0]),
                        add("cache-control", "no-store", ACTIONS[0]),
                        add("server", "mine", ACTIONS[2]),
                        add("content-type", "x/y", ACTIONS[1]),
                        add("vary", "x", ACTIONS[0]),
                    ]),
                ),
                ("response_headers_to_remove", json!(["x-envoy-upstream-service-time", "X-Up", "date"])),
            ],
        ),
        with(
            prefix("/removeadd", "app", json!({})),
            [
                ("request_headers_to_add", json!([add("x-h", "again %REQ(x-h)%", ACTIONS[0])])),
                ("request_headers_to_remove", json!(["x-h"])),
                ("response_headers_to_add", json!([add("x-h", "again", ACTIONS[0])])),
                ("response_headers_to_remove", json!(["x-h"])),
            ],
        ),
        with(
            prefix("/chain", "app", json!({})),
            [(
                "request_headers_to_add",
                json!([add("x-a", "1", ACTIONS[0]), add("x-b", "%REQ(x-a)%", ACTIONS[0]), add("x-a", "2", ACTIONS[2]),
                    add("x-c", "%REQ(x-a)%", ACTIONS[0])]),
            )],
        ),
        prefix("/", "app", json!({})),
    ]);
    a.http("in", any_host(json!(single)), json!({}));
    a.http("suppressed", any_host(json!([prefix("/", "app", json!({ "prefix_rewrite": "/new" }))])), json!({
        "http_filters": [{ "name": "envoy.filters.http.router", "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router", "suppress_envoy_headers": true } }] }));

    let existing = |r: crate::harness::case::Request| {
        ACTIONS.iter().fold(r, |r, action| r.header(&format!("x-{}", action.to_lowercase().replace('_', "-")), "client"))
    };
    let dropped = |r: crate::harness::case::Request| {
        ["weighted", "route", "host", "table", "other"].iter().fold(r, |r, l| r.header(&format!("x-drop-{l}"), "1"))
    };
    let rich = ACTIONS.iter().fold(status(200), |r, action| {
        r.header(&format!("x-{}", action.to_lowercase().replace('_', "-")), "upstream")
    });
    let rich = rich.header("x-drop-route", "1").header("x-drop-table", "1").header("x-drop-other", "1");
    for listener in ["levels", "specific"] {
        a.case(format!("{listener} new"), listener, get("/levels"));
        a.case(format!("{listener} existing"), listener, existing(get("/levels"))).answer(rich.clone());
        a.case(format!("{listener} dropped"), listener, dropped(get("/levels"))).answer(rich.clone());
        a.case(format!("{listener} direct"), listener, existing(get("/direct")));
        a.case(format!("{listener} redirect"), listener, get("/redirect"));
        a.case(format!("{listener} no cluster"), listener, get("/lost"));
        a.case(format!("{listener} no route"), listener, get("/none"));
        a.case(format!("{listener} h2"), listener, h2(existing(get("/levels")))).answer(rich.clone());
        a.case(format!("{listener} upstream closes"), listener, get("/levels")).answer(crate::harness::answer::hang_up());
    }
    for action in ACTIONS {
        let path = format!("/{}", action.to_lowercase());
        a.case(format!("{action} absent"), "in", get(&path));
        a.case(format!("{action} one"), "in", get(&path).header("x-h", "old").header("x-case", "c"))
            .answer(status(200).header("x-h", "old"));
        a.case(format!("{action} two"), "in", get(&path).header("x-h", "a").header("x-h", "b"))
            .answer(status(200).header("x-h", "a").header("x-h", "b"));
    }
    a.case("values", "in", get("/values?q").header("x-in", "abc").header("x-request-id", "my id")).answer(status(201).header("x-up", "up"));
    a.case("values of several lines", "in", get("/values").header("x-in", "a").header("x-in", "b"))
        .answer(status(200).header("x-up", "1").header("x-up", "2"));
    a.case("values on a direct response", "in", get("/vdirect").header("x-in", "abc"));
    a.case("values on a failure", "in", get("/values")).answer(crate::harness::answer::hang_up());
    a.case("values over h2", "in", h2(get("/values?q").header("x-in", "abc")));
    a.case("empty", "in", get("/empty").header("x-gone", "here").header("x-old", "o").header("x-kept", "k"));
    a.case("empty, nothing there", "in", get("/empty"));
    a.case("known", "in", post("/known", "x").header("user-agent", "theirs").header("cookie", "a=1").header("accept", "text/b")
        .header("accept-language", "de").header("x-upper", "u"))
        .answer(status(200).header("x-up", "1").header("set-cookie", "a=1").header("cache-control", "private").header("vary", "y"));
    a.case("known, nothing there", "in", get("/known"));
    a.case("remove before add", "in", get("/removeadd").header("x-h", "old")).answer(status(200).header("x-h", "old"));
    a.case("chain", "in", get("/chain"));
    a.case("chain on existing", "in", get("/chain").header("x-a", "0"));
    a.case("case and order of lines", "in", get("/").header("X-One", "1").header("x-two", "2").header("X-ONE", "3"))
        .answer(status(200).header("X-Up", "1").header("x-UP", "2"));
    a.case("suppressed", "suppressed", get("/x"));
    a.case("suppressed failure", "suppressed", get("/x")).answer(crate::harness::answer::hang_up());
    a
}
