use proptest::prelude::*;

use super::*;

/// A request with a tenant, answered with 503.
struct Request;

impl Attributes for Request {
    fn get<'a>(&'a self, attribute: &'a Attribute) -> Value<'a> {
        match attribute {
            Attribute::RequestHeader(name) if name == "x-tenant-id" => Value::text("acme"),
            Attribute::RequestHeader(name) if name == "x-empty" => Value::bytes(Some(b"")),
            Attribute::RequestHost => Value::text("cart:8080"),
            Attribute::RequestMethod => Value::text("GET"),
            Attribute::RequestUrlPath => Value::text("/api/v1/items"),
            Attribute::ResponseCode => Value::Int(503),
            Attribute::ConnectionMtls => Value::Bool(true),
            Attribute::DestinationPort => Value::Int(9080),
            Attribute::Metadata(path) if path == &["filter", "key"] => Value::text("cart"),
            _ => Value::Missing,
        }
    }
}

fn shown(text: &str) -> String {
    match Expression::parse(text) {
        Ok(expression) => match expression.evaluate(&Request) {
            Value::Missing => "missing".to_owned(),
            value => value.to_string(),
        },
        Err(error) => error.to_string(),
    }
}

#[test]
fn expressions_mean_what_they_mean_in_cel() {
    let cases = [
        ("request.headers['x-tenant-id']", "acme"),
        ("request.headers[\"X-Tenant-Id\"]", "acme"),
        ("request.headers['x-other']", "missing"),
        ("request.host", "cart:8080"),
        ("'constant'", "constant"),
        ("string(destination.port)", "9080"),
        ("int('7') + 1 - 2", "6"),
        ("has(request.headers['x-tenant-id']) ? request.headers['x-tenant-id'] : 'none'", "acme"),
        ("has(request.headers['x-other']) ? request.headers['x-other'] : 'none'", "none"),
        ("'x-other' in request.headers ? 'yes' : 'no'", "no"),
        ("'x-tenant-id' in request.headers ? 'yes' : 'no'", "yes"),
        ("response.code >= 500 ? 'bad' : response.code >= 400 ? 'client' : 'good'", "bad"),
        ("response.code >= 400 && request.method == 'GET'", "true"),
        ("response.code < 400 || !connection.mtls", "false"),
        ("response.code == 503u", "true"),
        ("response.code in [502, 503, 504]", "true"),
        ("request.method in ['POST', 'PUT']", "false"),
        ("request.url_path.startsWith('/api/') && request.url_path.matches('/v[0-9]+/')", "true"),
        ("request.url_path.endsWith(r'\\d') || request.url_path.contains(\"items\")", "true"),
        ("size(request.method) == 3 && request.method.size() == 3", "true"),
        ("request.method + '-' + request.host", "GET-cart:8080"),
        ("metadata['filter']['key']", "cart"),
        ("(1 < 2.5) == true", "true"),
        // One side that decides makes up for an error of the other.
        ("request.headers['x-other'] == 'a' || connection.mtls", "true"),
        ("connection.mtls && request.headers['x-other'] == 'a'", "missing"),
        ("false && request.headers['x-other'] == 'a'", "false"),
        ("request.headers['x-other'] != 'a'", "missing"),
        ("response.code == 'x'", "false"),
        ("9223372036854775807 + 1", "missing"),
        ("-response.code", "-503"),
        ("null", ""),
    ];
    for (text, expected) in cases {
        assert_eq!(shown(text), expected, "{text}");
    }
}

#[test]
fn what_is_not_understood_is_refused_by_name() {
    let cases = [
        ("", "ends where an expression is expected"),
        ("request.hosts", "reads request.hosts, which is not known; did you mean request.host?"),
        ("upstream_peer.workload", "reads upstream_peer.workload, which is not available here"),
        ("node.metadata['X']", "reads node.metadata.X, which is not available here"),
        ("request.time", "reads request.time, which is not available here"),
        ("filter_state.x", "reads filter_state.x, which is not available here"),
        ("request.headers", "reads request.headers, which is not known"),
        (
            "request.host.lowerAscii()",
            "calls lowerAscii, which is not supported; has, size, string, int, contains, startsWith, endsWith and matches are",
        ),
        (
            "timestamp('x')",
            "calls timestamp, which is not supported; has, size, string, int, contains, startsWith, endsWith and matches are",
        ),
        (
            "response.code * 2",
            "calls *, which is not supported; has, size, string, int, contains, startsWith, endsWith and matches are",
        ),
        ("response.code >=", "ends where an expression is expected"),
        ("response.code 400", "has \"400\" at 15 where an operator is expected"),
        ("response.code = 400", "has \"=\" at 15 where an expression is expected"),
        ("'abc", "has a broken text at 1"),
        ("'a\\q'", "has a broken text at 1"),
        ("99999999999999999999", "has the number 99999999999999999999, which does not fit"),
        ("request.host.matches(request.method)", "calls matches with other arguments than it takes"),
        ("has('x')", "calls has with other arguments than it takes"),
        (
            "request.host.matches('(')",
            "matches a regular expression that cannot be used: error: unclosed group",
        ),
    ];
    for (text, expected) in cases {
        assert!(shown(text).starts_with(expected), "{text}: {}", shown(text));
    }
    assert_eq!(shown(&"(".repeat(1000)), "is nested too deeply");
    assert_eq!(shown(&"!".repeat(1000)), "is nested too deeply");
    assert_eq!(shown(&"a".repeat(5000)), "is 5000 bytes long; at most 4096 are read");
}

#[test]
fn what_is_read_is_told() {
    let read = Expression::parse("has(request.headers['A']) && response.code in [200] ? request.host : 'x'");
    let names = [Attribute::RequestHeader("a".into()), Attribute::ResponseCode, Attribute::RequestHost];
    assert_eq!(read.as_ref().map(Expression::attributes), Ok(names.iter().collect()));
}

proptest! {
    /// Any text ends in an expression or an error, and any expression in a value.
    #[test]
    fn nothing_panics(text in "[a-z0-9'\"().<>=!&|?: \\[\\]+\\-]{0,80}") {
        if let Ok(expression) = Expression::parse(&text) {
            let _ = expression.evaluate(&Request).to_string();
            prop_assert!(matches!(expression.evaluate(&Nothing), _));
        }
    }
}
