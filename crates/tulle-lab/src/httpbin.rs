//! A request and response test service with httpbin's common paths.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Either, Limited};
use hyper::body::Incoming;
use serde_json::{Map, Value, json};

use crate::LabError;
use crate::drip::Drip;
use crate::server::{self, Reply};

/// Options of `tulle lab httpbin`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Port to listen on.
    #[arg(long, default_value_t = 8000)]
    port: u16,
}

/// Most bytes of a request's body that are read, and of an answer that is made.
const MAX_BODY: usize = 16 * 1024 * 1024;
/// Longest `/delay`.
const MAX_DELAY: f64 = 60.0;

pub(crate) async fn run(args: Args) -> Result<(), LabError> {
    Ok(server::serve(args.port, answer).await?)
}

async fn answer(request: Request<Incoming>) -> Reply {
    let (head, body) = request.into_parts();
    let path = head.uri.path().trim_start_matches('/').to_owned();
    let (first, rest) = path.split_once('/').unwrap_or((&path, ""));
    let everything = |body: &[u8]| {
        json!({
            "method": head.method.as_str(), "url": url(&head.headers, &head.uri), "args": query(head.uri.query()),
            "headers": headers(&head.headers), "data": String::from_utf8_lossy(body),
            "origin": head.headers.get("x-forwarded-for").map(lossy), "pod": server::pod_name(),
        })
    };
    match first {
        "" => server::html("<title>httpbin</title><p>/get /post /anything /headers /status/CODE /delay/SECONDS /drip?duration=SECONDS&numbytes=N /unstable?failure_rate=PART /bytes/N /response-headers".to_owned()),
        "headers" => server::json(StatusCode::OK, &json!({ "headers": headers(&head.headers) })),
        "ip" => server::json(StatusCode::OK, &json!({ "origin": head.headers.get("x-forwarded-for").map(lossy) })),
        "user-agent" => {
            server::json(StatusCode::OK, &json!({ "user-agent": head.headers.get(header::USER_AGENT).map(lossy) }))
        }
        "get" | "post" | "put" | "patch" | "delete" | "anything" => {
            match Limited::new(body, MAX_BODY).collect().await {
                Ok(body) => server::json(StatusCode::OK, &everything(&body.to_bytes())),
                Err(e) => server::text(StatusCode::PAYLOAD_TOO_LARGE, format!("{e}; 16 MiB at most\n")),
            }
        }
        "status" => match rest.parse::<u16>().ok().and_then(|code| StatusCode::from_u16(code).ok()) {
            Some(status) => server::text(status, ""),
            None => server::text(StatusCode::BAD_REQUEST, "ask for /status/CODE with a code from 100 to 999\n"),
        },
        "delay" => delay(rest, &everything(&[])).await,
        "drip" => drip(head.uri.query()),
        "unstable" => unstable(head.uri.query(), &everything(&[])),
        "bytes" => match rest.parse::<usize>() {
            Ok(n) => server::with_type(StatusCode::OK, "application/octet-stream", vec![b'x'; n.min(MAX_BODY)]),
            Err(_) => server::text(StatusCode::BAD_REQUEST, "ask for /bytes/N\n"),
        },
        "response-headers" => response_headers(head.uri.query()),
        "redirect-to" => redirect_to(head.uri.query()),
        _ => server::text(StatusCode::NOT_FOUND, "not found\n"),
    }
}

async fn delay(seconds: &str, answer: &Value) -> Reply {
    let Some(seconds) = seconds.parse::<f64>().ok().filter(|s| (0.0..=MAX_DELAY).contains(s)) else {
        return server::text(StatusCode::BAD_REQUEST, "ask for /delay/SECONDS, 60 at most\n");
    };
    tokio::time::sleep(Duration::from_secs_f64(seconds)).await;
    server::json(StatusCode::OK, answer)
}

/// The head at once, then a body that takes its time: `numbytes` (10 by default) spread over `duration` (2 s by default).
fn drip(text: Option<&str>) -> Reply {
    let wanted = query(text);
    let given =
        |name: &str, default: &str| wanted.get(name).and_then(Value::as_str).unwrap_or(default).to_owned();
    let seconds = given("duration", "2").trim_end_matches('s').parse::<f64>().ok();
    let seconds = seconds.filter(|seconds| (0.0..=MAX_DELAY).contains(seconds));
    let count = given("numbytes", "10").parse::<u32>().ok().filter(|count| (1..=10_000).contains(count));
    let (Some(seconds), Some(count)) = (seconds, count) else {
        return server::text(
            StatusCode::BAD_REQUEST,
            "ask for /drip?duration=SECONDS&numbytes=N, 60 s and 10000 bytes at most\n",
        );
    };
    Response::new(Either::Right(Drip::new(count, Duration::from_secs_f64(seconds))))
}

/// 500 for a part of the requests, at random; a half by default.
fn unstable(text: Option<&str>, answer: &Value) -> Reply {
    let wanted = query(text);
    let rate = wanted.get("failure_rate").map_or(Some(0.5), |v| v.as_str()?.parse::<f64>().ok());
    let Some(rate) = rate.filter(|rate| (0.0..=1.0).contains(rate)) else {
        return server::text(StatusCode::BAD_REQUEST, "ask for /unstable?failure_rate=PART with 0 to 1\n");
    };
    // The hasher's keys are random; nothing here needs more than that.
    let random = std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), 0u8);
    let fails = (random >> 11) as f64 / (1u64 << 53) as f64 <= rate && rate > 0.0;
    if fails {
        server::text(StatusCode::INTERNAL_SERVER_ERROR, "")
    } else {
        server::json(StatusCode::OK, answer)
    }
}

fn response_headers(text: Option<&str>) -> Reply {
    let wanted = query(text);
    let mut reply = server::json(StatusCode::OK, &Value::Object(wanted.clone()));
    for (name, value) in &wanted {
        let value = value.as_str().and_then(|v| HeaderValue::from_str(v).ok());
        if let (Ok(name), Some(value)) = (HeaderName::from_bytes(name.as_bytes()), value) {
            reply.headers_mut().append(name, value);
        }
    }
    reply
}

fn redirect_to(text: Option<&str>) -> Reply {
    let wanted = query(text);
    let Some(url) = wanted.get("url").and_then(Value::as_str).and_then(|u| HeaderValue::from_str(u).ok())
    else {
        return server::text(StatusCode::BAD_REQUEST, "ask for /redirect-to?url=URL\n");
    };
    let mut reply = server::text(StatusCode::FOUND, "");
    reply.headers_mut().insert(header::LOCATION, url);
    reply
}

fn url(headers: &HeaderMap, uri: &http::Uri) -> String {
    let host = headers.get(header::HOST).map(lossy).or_else(|| uri.authority().map(ToString::to_string));
    format!("http://{}{}", host.unwrap_or_default(), uri.path_and_query().map_or("/", |p| p.as_str()))
}

fn headers(headers: &HeaderMap) -> Value {
    let mut out = Map::new();
    for name in headers.keys() {
        let lines: Vec<Value> = headers.get_all(name).iter().map(|v| Value::String(lossy(v))).collect();
        out.insert(name.to_string(), Value::Array(lines));
    }
    Value::Object(out)
}

fn query(text: Option<&str>) -> Map<String, Value> {
    let pairs = text.unwrap_or_default().split('&').filter(|p| !p.is_empty());
    pairs
        .map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (key.to_owned(), Value::String(value.to_owned()))
        })
        .collect()
}

fn lossy(value: &HeaderValue) -> String {
    String::from_utf8_lossy(value.as_bytes()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_and_repeated_headers() {
        assert_eq!(Value::Object(query(Some("a=1&b"))), json!({ "a": "1", "b": "" }));
        let mut map = HeaderMap::new();
        map.append("x", "1".parse().unwrap());
        map.append("x", "2".parse().unwrap());
        assert_eq!(headers(&map), json!({ "x": ["1", "2"] }));
    }

    #[test]
    fn response_headers_come_back() {
        assert_eq!(response_headers(Some("x-a=b")).headers()["x-a"], "b");
    }
}
