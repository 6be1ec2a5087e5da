//! Formats of access logs, compiled and used.

use tulle_telemetry::access_log::{AccessLogFormat, JsonFormat, RequestRecord};

use crate::Target;

pub(crate) const TARGET: Target = Target {
    name: "access_log",
    run,
    words: &[
        "%",
        "%%",
        "%START_TIME(",
        "%REQ(",
        "?",
        ":",
        ")%",
        "%RESPONSE_FLAGS%",
        "%DURATION%",
        "%DYNAMIC_METADATA(",
        "%Y-%m-%dT%H:%M:%S.%3fZ",
        "%FILTER_STATE(",
        "%RESP(A?B):3%",
        "%PROTOCOL%",
        "99999999999999999999",
        "ä",
    ],
};

fn run(bytes: &[u8]) {
    let [choice, rest @ ..] = bytes else { return };
    let Ok(text) = std::str::from_utf8(rest) else { return };
    let format = if choice & 1 == 0 {
        AccessLogFormat::text(text, choice & 2 == 2)
    } else {
        let member = |text: &str| ("member".to_owned(), JsonFormat::Format(text.to_owned()));
        AccessLogFormat::json(&JsonFormat::Object([member(text)].into()), choice & 2 == 2)
    };
    if let Ok(format) = format {
        let mut line = Vec::new();
        format.render(&RequestRecord::default(), &mut line);
        if choice & 1 == 1 {
            let read: Result<serde_json::Value, _> = serde_json::from_slice(&line);
            assert!(read.is_ok(), "{:?}", String::from_utf8_lossy(&line));
        }
    }
}
