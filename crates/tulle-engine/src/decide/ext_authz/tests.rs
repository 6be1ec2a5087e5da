use tulle_http::ResponseHead;
use tulle_proto::envoy::{auth, core, google, kind};

use super::answer::{Verdict, of_grpc};
use super::*;

fn option(key: &str, value: &str, append: Option<bool>, action: i32) -> core::HeaderValueOption {
    #[allow(deprecated)]
    core::HeaderValueOption {
        header: Some(core::HeaderValue { key: key.into(), value: value.into(), raw_value: Vec::new() }),
        append: append.map(|value| google::BoolValue { value }),
        append_action: action,
        keep_empty_value: false,
    }
}

fn ok(message: auth::OkHttpResponse) -> auth::CheckResponse {
    auth::CheckResponse {
        http_response: Some(auth::check_response::HttpResponse::OkResponse(message)),
        ..Default::default()
    }
}

fn denied(message: auth::DeniedHttpResponse) -> auth::CheckResponse {
    auth::CheckResponse {
        status: Some(tulle_proto::envoy::rpc::Status { code: 7, ..Default::default() }),
        http_response: Some(auth::check_response::HttpResponse::DeniedResponse(message)),
        ..Default::default()
    }
}

fn head() -> RequestHead {
    let mut head = RequestHead {
        path: "/p?x=1&gone=2&k=%41".into(),
        authority: "a.example".into(),
        ..Default::default()
    };
    head.headers.append("a", b"1");
    head.headers.append("b", b"bb");
    head
}

fn lines(headers: &HeaderList) -> Vec<String> {
    headers.iter().map(|f| format!("{}: {}", f.name_str(), f.value_str().unwrap_or("?"))).collect()
}

#[test]
fn a_yes_changes_the_request_as_envoy_does() {
    // What a stock Envoy 1.40 makes of the same answers.
    let cases = [
        (option("a", "2", None, 0), option("n", "3", None, 0), vec!["a: 2", "b: bb", "n: 3"]),
        (option("a", "2", Some(true), 0), option("n", "3", Some(true), 0), vec!["a: 1,2", "b: bb"]),
        (option("a", "2", Some(false), 0), option("n", "3", Some(false), 0), vec!["a: 2", "b: bb", "n: 3"]),
        (option("a", "2", None, 1), option("n", "3", None, 3), vec!["a: 2", "b: bb", "n: 3"]),
        (option("A", "", None, 0), option("content-length", "3", None, 0), vec!["a:", "b: bb"]),
    ];
    for (first, second, want) in cases {
        let message = ok(auth::OkHttpResponse { headers: vec![first, second], ..Default::default() });
        let Verdict::Allowed(changes) = of_grpc(&message).verdict else { panic!("{message:?}") };
        let mut head = head();
        changes.apply(&mut head);
        let found: Vec<String> = lines(&head.headers).iter().map(|l| l.trim_end().to_owned()).collect();
        assert_eq!(found, want);
    }
    let message = ok(auth::OkHttpResponse {
        headers: vec![option("host", "hh", None, 0), option("x", "y", None, 0)],
        headers_to_remove: vec!["B".into(), ":method".into(), "host".into()],
        query_parameters_to_set: vec![core::QueryParameter { key: "x".into(), value: "new v".into() }],
        query_parameters_to_remove: vec!["gone".into()],
        ..Default::default()
    });
    let Verdict::Allowed(changes) = of_grpc(&message).verdict else { panic!("{message:?}") };
    let mut head = head();
    changes.apply(&mut head);
    assert_eq!((head.path.as_str(), head.authority.as_str()), ("/p?k=%41&x=new%20v", "hh"));
    assert_eq!(lines(&head.headers), ["a: 1", "x: y"]);
    let Verdict::Allowed(none) = of_grpc(&auth::CheckResponse::default()).verdict else { panic!() };
    assert!(none.is_empty() && none.response.is_empty() && !changes.is_empty());
}

#[test]
fn what_cannot_be_written_is_not() {
    for (key, value) in [
        ("n\n", "x"),
        ("", "x"),
        ("m", "x\r\ny: z"),
        (":path", "no"),
        (":path", "/a b"),
        (":method", "PUT"),
        (":status", "200"),
        ("host", "a/b"),
    ] {
        let message =
            ok(auth::OkHttpResponse { headers: vec![option(key, value, None, 0)], ..Default::default() });
        assert!(matches!(of_grpc(&message).verdict, Verdict::Invalid), "{key:?}: {value:?}");
    }
    let message = denied(auth::DeniedHttpResponse {
        headers: vec![option("x", "a\nb", None, 0)],
        ..Default::default()
    });
    assert!(matches!(of_grpc(&message).verdict, Verdict::Invalid));
}

#[test]
fn a_no_has_status_fields_and_body() {
    let message = denied(auth::DeniedHttpResponse {
        status: Some(kind::HttpStatus { code: 401 }),
        headers: vec![
            option("set-cookie", "1", None, 0),
            option("set-cookie", "2", None, 3),
            option("content-type", "x/y", Some(true), 0),
            option("content-length", "77", None, 0),
        ],
        body: "body".into(),
    });
    let Verdict::Denied(denial) = of_grpc(&message).verdict else { panic!() };
    assert_eq!((denial.status, &*denial.body), (Some(401), &b"body"[..]));
    assert_eq!(lines(&denial.headers), ["set-cookie: 1", "set-cookie: 2"]);
    for (code, want) in [(0, None), (99, None), (101, None), (200, Some(200)), (700, None), (-3, None)] {
        let message = denied(auth::DeniedHttpResponse {
            status: Some(kind::HttpStatus { code }),
            ..Default::default()
        });
        let Verdict::Denied(denial) = of_grpc(&message).verdict else { panic!() };
        assert_eq!(denial.status, want, "{code}");
    }
}

#[test]
fn fields_of_a_yes_for_the_client() {
    let message = ok(auth::OkHttpResponse {
        response_headers_to_add: vec![
            option("x-up", "2", None, 0),
            option("r", "3", Some(true), 0),
            option("s", "5", None, 1),
            option("x-up", "6", None, 1),
            option("t", "5", None, 3),
            option("v", "new", Some(false), 0),
            option("w", "new", None, 3),
        ],
        ..Default::default()
    });
    let Verdict::Allowed(changes) = of_grpc(&message).verdict else { panic!() };
    let mut response = ResponseHead::new(200);
    for name in ["x-up", "v", "w"] {
        response.headers.append(name, b"old");
    }
    changes.response.apply(&mut response.headers);
    let want = ["x-up: old", "v: new", "w: new", "x-up: 2", "r: 3", "s: 5"];
    assert_eq!(lines(&response.headers), want);
}

#[test]
fn text_that_is_none() {
    assert_eq!(sanitized(b"a\xff\xfeb\xc3"), "a!!b!");
    assert_eq!(sanitized("é".as_bytes()), "é");
}
