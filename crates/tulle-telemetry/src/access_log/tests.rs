use std::time::Duration;

use super::*;
use crate::flags::ResponseFlag;

struct Some1;

impl HeaderLookup for Some1 {
    fn header(&self, name: &str) -> Option<&[u8]> {
        Some(match name {
            "user-agent" => b"curl/8.0",
            "x-request-id" => b"cc21d9b0",
            "x-forwarded-for" => b"10.0.35.28",
            "x-envoy-upstream-service-time" => b"100",
            "x-odd" => b"a\"b\\\n\xff",
            _ => return None,
        })
    }
}

impl MetadataLookup for Some1 {
    fn write(
        &self,
        source: MetadataSource,
        namespace: &str,
        path: &[String],
        out: &mut Vec<u8>,
    ) -> Option<MetadataForm> {
        if source != MetadataSource::Route || namespace != "istio" {
            return None;
        }
        let (text, form): (&[u8], _) = match path {
            [one] if one == "config" => {
                (b"/apis/networking.istio.io/v1/namespaces/shop/virtual-service/cart", MetadataForm::Text)
            }
            [one] if one == "rule" => (b"3", MetadataForm::Json),
            _ => return None,
        };
        out.extend_from_slice(text);
        Some(form)
    }
}

fn record() -> RequestRecord<'static> {
    RequestRecord {
        start: Duration::from_millis(1_460_753_820_310),
        duration: Some(Duration::from_millis(226)),
        response_duration: Some(Duration::from_millis(200)),
        protocol: "HTTP/2",
        method: b"POST",
        path: b"/api/v1/locations",
        authority: b"locations",
        request_headers: &Some1,
        response_headers: &Some1,
        response_code: 503,
        response_code_details: crate::details::UPSTREAM_CONNECTION_FAILURE,
        response_flags: ResponseFlag::UpstreamConnectionFailure.into(),
        bytes_received: 154,
        upstream_host: Some(([127, 0, 0, 1], 8080).into()),
        upstream_remote_address: Some(([127, 0, 0, 1], 8080).into()),
        upstream_cluster_raw: "outbound|80||locations.shop.svc.cluster.local",
        downstream_remote_address: Some(([10, 0, 0, 1], 4711).into()),
        route_name: "default",
        metadata: &Some1,
        ..RequestRecord::default()
    }
}

fn line(format: &str) -> String {
    let mut out = Vec::new();
    AccessLogFormat::text(format, false).unwrap().render(&record(), &mut out);
    String::from_utf8(out).unwrap()
}

#[test]
fn istios_default_line() {
    assert_eq!(
        line(ISTIO_TEXT),
        "[2016-04-15T20:57:00.310Z] \"POST /api/v1/locations HTTP/2\" 503 UF \
         upstream_reset_before_response_started{connection_failure} - \"-\" 154 0 226 100 \"10.0.35.28\" \"curl/8.0\" \
         \"cc21d9b0\" \"locations\" \"127.0.0.1:8080\" outbound|80||locations.shop.svc.cluster.local - - \
         10.0.0.1:4711 - default\n"
    );
}

#[test]
fn operators_with_arguments_limits_and_parts() {
    assert_eq!(line("%REQ(X-NOT-THERE?USER-AGENT):4% %REQ(X-NOT-THERE)%"), "curl -");
    assert_eq!(line("%UPSTREAM_REMOTE_ADDRESS_WITHOUT_PORT% %UPSTREAM_REMOTE_PORT%"), "127.0.0.1 8080");
    assert_eq!(line("%START_TIME(%s.%3f)% 100%% %RESPONSE_TX_DURATION%"), "1460753820.310 100% 26");
    assert_eq!(
        line("%METADATA(ROUTE:istio:config)% %DYNAMIC_METADATA(istio:config)%"),
        "/apis/networking.istio.io/v1/namespaces/shop/virtual-service/cart -"
    );
    assert_eq!(line("%RESPONSE_FLAGS_LONG% %GRPC_STATUS%"), "UpstreamConnectionFailure -");
    assert_eq!(line("%RESP(:STATUS)% %METADATA(ROUTE:istio:rule)% <%LOCAL_REPLY_BODY%>"), "503 3 <>");
}

#[test]
fn what_is_not_supported_is_named() {
    let error = |format: &str| AccessLogFormat::text(format, false).unwrap_err().to_string();
    assert_eq!(error("%WHAT_IS_THIS%"), "operator %WHAT_IS_THIS% is not supported");
    assert_eq!(error("%FILTER_STATE(a:b)%"), "operator %FILTER_STATE(a:b)% is not supported");
    assert_eq!(error("%REQ()%"), "operator %REQ()%: no header name");
    assert_eq!(error("%REQ(A):x%"), "operator %REQ(A):x%: the length is not a number");
    assert_eq!(error("50% done"), "a % at byte 2 begins no operator; write %% for a percent sign");
}

#[test]
fn istios_default_json() {
    let mut out = Vec::new();
    AccessLogFormat::istio_json().render(&record(), &mut out);
    let text = String::from_utf8(out).unwrap();
    assert!(
        text.starts_with("{\"authority\":\"locations\",\"bytes_received\":154,\"bytes_sent\":0,"),
        "{text}"
    );
    assert!(text.contains("\"connection_termination_details\":null"), "{text}");
    assert!(text.contains("\"response_code\":503"), "{text}");
    assert!(text.ends_with("}\n"), "{text}");
}

#[test]
fn json_escapes_and_leaves_out() {
    let object = |format: &str| {
        JsonFormat::Object(BTreeMap::from([
            ("a".to_owned(), JsonFormat::Format(format.to_owned())),
            ("b".to_owned(), JsonFormat::List(vec![JsonFormat::Number(1.5), JsonFormat::Bool(true)])),
        ]))
    };
    let render = |format: &str, omit| {
        let mut out = Vec::new();
        AccessLogFormat::json(&object(format), omit).unwrap().render(&record(), &mut out);
        String::from_utf8(out).unwrap()
    };
    assert_eq!(render("%REQ(X-ODD)%", false), "{\"a\":\"a\\\"b\\\\\\n\u{fffd}\",\"b\":[1.5,true]}\n");
    for (format, value) in [
        ("%METADATA(ROUTE:istio:rule)%", "3"),
        ("%METADATA(ROUTE:istio:none)%", "null"),
        ("%RESP(:STATUS)%", "\"503\""),
        ("%RESPONSE_CODE%", "503"),
        ("%DOWNSTREAM_REMOTE_PORT%", "4711"),
        ("%LOCAL_REPLY_BODY%", "\"\""),
    ] {
        assert_eq!(render(format, false), format!("{{\"a\":{value},\"b\":[1.5,true]}}\n"), "{format}");
    }
    assert_eq!(render("%REQ(NONE)%", true), "{\"b\":[1.5,true]}\n");
    let mut out = Vec::new();
    let nothing = JsonFormat::Object(BTreeMap::from([("a".to_owned(), JsonFormat::Null)]));
    AccessLogFormat::json(&nothing, true).unwrap().render(&record(), &mut out);
    assert_eq!(out, b"{}\n");
    assert_eq!(render("%REQ(NONE)%/x", false), "{\"a\":\"-/x\",\"b\":[1.5,true]}\n");
}

#[test]
fn empty_values_are_left_out_where_envoy_leaves_them_out() {
    let list = JsonFormat::List(vec![
        JsonFormat::Null,
        JsonFormat::Format("%REQ(NONE)%".into()),
        JsonFormat::Object(BTreeMap::from([("x".into(), JsonFormat::Format("%REQ(NONE)%".into()))])),
        JsonFormat::Number(1.0),
    ]);
    let object = JsonFormat::Object(BTreeMap::from([
        ("flags".into(), JsonFormat::Format("%RESPONSE_FLAGS%".into())),
        ("list".into(), list),
        ("none".into(), JsonFormat::List(vec![JsonFormat::Null])),
    ]));
    let record = RequestRecord { response_flags: crate::flags::ResponseFlags::NONE, ..record() };
    for (omit, want) in [
        (true, r#"{"flags":"-","list":[1],"none":[]}"#),
        (false, r#"{"flags":"-","list":[null,null,{"x":null},1],"none":[null]}"#),
    ] {
        let mut out = Vec::new();
        AccessLogFormat::json(&object, omit).unwrap().render(&record, &mut out);
        assert_eq!(String::from_utf8(out).unwrap().trim_end(), want);
    }
}

proptest::proptest! {
    #[test]
    fn no_format_is_too_strange(format in "(%|[A-Z_]{1,12}|\\(|\\)|:|\\?|[a-z]{1,4}|[0-9]{1,3}|\\PC){0,12}") {
        for compiled in [
            AccessLogFormat::text(&format, false),
            AccessLogFormat::json(&JsonFormat::Object(BTreeMap::from([("k".to_owned(), JsonFormat::Format(format))])), true),
        ].into_iter().flatten() {
            let mut out = Vec::new();
            compiled.render(&record(), &mut out);
        }
    }
}

#[test]
fn formats_know_whether_they_ask_for_trailers() {
    let asks = |format: &str| {
        let nested = JsonFormat::List(vec![JsonFormat::Object(BTreeMap::from([(
            "k".to_owned(),
            JsonFormat::Format(format.to_owned()),
        )]))]);
        let (text, json) = (AccessLogFormat::text(format, false), AccessLogFormat::json(&nested, false));
        let asks = text.unwrap().reads_trailers();
        assert_eq!(json.unwrap().reads_trailers(), asks, "{format}");
        asks
    };
    assert!(asks("%TRAILER(grpc-message)%") && asks("x %TRAILER(A?B)%"));
    assert!(!asks("%RESP(grpc-message)% trailer") && !asks(""));
}

#[test]
fn grpc_statuses_have_names_and_numbers() {
    for (status, want) in [(0, "OK 0"), (5, "NotFound 5"), (17, "17 17"), (-1, "-1 -1")] {
        let mut out = Vec::new();
        let record = RequestRecord { grpc_status: Some(status), ..record() };
        AccessLogFormat::text("%GRPC_STATUS% %GRPC_STATUS_NUMBER%", false).unwrap().render(&record, &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), want);
    }
}
