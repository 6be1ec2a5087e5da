//! Access log lines in Envoy's formats.
//!
//! A format is compiled once ([`AccessLogFormat::text`], [`AccessLogFormat::json`]); an operator that does not exist here is refused
//! by name. Rendering a [`RequestRecord`] only appends to the buffer that is given. [`OtlpFormat`] and [`http_entry`] make records for
//! services of it.

mod als;
mod attributes;
mod json;
mod operator;
mod otlp;
mod parse;
mod record;
mod time;

use std::collections::BTreeMap;

pub use als::{AlsFields, http_entry, tcp_entry};
pub use operator::{Address, MetadataSource};
pub use otlp::{OtlpForm, OtlpFormat};
pub use parse::FormatError;
pub use record::{HeaderLookup, Headers, MetadataForm, MetadataLookup, NoHeaders, NoMetadata, RequestRecord};

/// A time in the access log's default format, `2026-11-29T14:45:00.123Z`.
pub(crate) fn rfc3339(since_epoch: std::time::Duration) -> String {
    let mut out = Vec::with_capacity(24);
    time::TimeFormat::default().write(since_epoch, &mut out);
    String::from_utf8(out).unwrap_or_default()
}

/// Istio's default text format, one line with its line feed.
pub const ISTIO_TEXT: &str = concat!(
    "[%START_TIME%] \"%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%\" %RESPONSE_CODE% %RESPONSE_FLAGS% ",
    "%RESPONSE_CODE_DETAILS% %CONNECTION_TERMINATION_DETAILS% \"%UPSTREAM_TRANSPORT_FAILURE_REASON%\" ",
    "%BYTES_RECEIVED% %BYTES_SENT% %DURATION% %RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% \"%REQ(X-FORWARDED-FOR)%\" ",
    "\"%REQ(USER-AGENT)%\" \"%REQ(X-REQUEST-ID)%\" \"%REQ(:AUTHORITY)%\" \"%UPSTREAM_HOST%\" %UPSTREAM_CLUSTER_RAW% ",
    "%UPSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_REMOTE_ADDRESS% %REQUESTED_SERVER_NAME% ",
    "%ROUTE_NAME%\n"
);

/// Envoy's default text format, for a logger without a format.
pub const ENVOY_TEXT: &str = concat!(
    "[%START_TIME%] \"%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%\" %RESPONSE_CODE% %RESPONSE_FLAGS% ",
    "%BYTES_RECEIVED% %BYTES_SENT% %DURATION% %RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% \"%REQ(X-FORWARDED-FOR)%\" ",
    "\"%REQ(USER-AGENT)%\" \"%REQ(X-REQUEST-ID)%\" \"%REQ(:AUTHORITY)%\" \"%UPSTREAM_HOST%\"\n"
);

/// Istio's default JSON format: member names and their formats.
pub const ISTIO_JSON: &[(&str, &str)] = &[
    ("authority", "%REQ(:AUTHORITY)%"),
    ("bytes_received", "%BYTES_RECEIVED%"),
    ("bytes_sent", "%BYTES_SENT%"),
    ("connection_termination_details", "%CONNECTION_TERMINATION_DETAILS%"),
    ("downstream_local_address", "%DOWNSTREAM_LOCAL_ADDRESS%"),
    ("downstream_remote_address", "%DOWNSTREAM_REMOTE_ADDRESS%"),
    ("duration", "%DURATION%"),
    ("method", "%REQ(:METHOD)%"),
    ("path", "%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%"),
    ("protocol", "%PROTOCOL%"),
    ("request_id", "%REQ(X-REQUEST-ID)%"),
    ("requested_server_name", "%REQUESTED_SERVER_NAME%"),
    ("response_code", "%RESPONSE_CODE%"),
    ("response_code_details", "%RESPONSE_CODE_DETAILS%"),
    ("response_flags", "%RESPONSE_FLAGS%"),
    ("route_name", "%ROUTE_NAME%"),
    ("start_time", "%START_TIME%"),
    ("upstream_cluster", "%UPSTREAM_CLUSTER_RAW%"),
    ("upstream_host", "%UPSTREAM_HOST%"),
    ("upstream_local_address", "%UPSTREAM_LOCAL_ADDRESS%"),
    ("upstream_service_time", "%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)%"),
    ("upstream_transport_failure_reason", "%UPSTREAM_TRANSPORT_FAILURE_REASON%"),
    ("user_agent", "%REQ(USER-AGENT)%"),
    ("x_forwarded_for", "%REQ(X-FORWARDED-FOR)%"),
];

/// A JSON format as it is written (`google.protobuf.Struct`): strings are formats, everything else stands for itself.
#[derive(Clone, Debug, PartialEq)]
pub enum JsonFormat {
    /// A format string. One operator alone keeps its type: numbers stay numbers, what is missing is `null`.
    Format(String),
    /// A number.
    Number(f64),
    /// True or false.
    Bool(bool),
    /// Null.
    Null,
    /// An object; its members are printed in the order of their names.
    Object(BTreeMap<String, JsonFormat>),
    /// A list.
    List(Vec<JsonFormat>),
}

/// A compiled format.
#[derive(Clone, Debug)]
pub struct AccessLogFormat(Kind);

#[derive(Clone, Debug)]
enum Kind {
    Text { pieces: Vec<parse::Piece>, omit_empty: bool },
    Json { root: json::Node, omit_empty: bool },
}

impl AccessLogFormat {
    /// Compiles a text format; the line feed is part of it. With `omit_empty`, what is missing is printed as nothing instead of `-`
    /// (Envoy's `omit_empty_values`).
    ///
    /// # Errors
    /// [`FormatError`] that names the operator.
    pub fn text(format: &str, omit_empty: bool) -> Result<Self, FormatError> {
        Ok(Self(Kind::Text { pieces: parse::parse(format)?, omit_empty }))
    }

    /// Compiles a JSON format; each line is one object and a line feed. With `omit_empty`, members whose value is missing are left
    /// out.
    ///
    /// # Errors
    /// [`FormatError`] that names the operator.
    pub fn json(format: &JsonFormat, omit_empty: bool) -> Result<Self, FormatError> {
        Ok(Self(Kind::Json { root: json::compile(format)?, omit_empty }))
    }

    /// Istio's default text format.
    pub fn istio_text() -> Self {
        Self::text(ISTIO_TEXT, false).expect("the default format is tested")
    }

    /// Istio's default JSON format.
    pub fn istio_json() -> Self {
        let members =
            ISTIO_JSON.iter().map(|(k, v)| ((*k).to_owned(), JsonFormat::Format((*v).to_owned()))).collect();
        Self::json(&JsonFormat::Object(members), false).expect("the default format is tested")
    }

    /// Whether a line says anything of the trailers of the response.
    pub fn reads_trailers(&self) -> bool {
        match &self.0 {
            Kind::Text { pieces, omit_empty: _ } => parse::reads_trailers(pieces),
            Kind::Json { root, omit_empty: _ } => json::reads_trailers(root),
        }
    }

    /// Appends the line of `record` to `out`.
    pub fn render(&self, record: &RequestRecord<'_>, out: &mut Vec<u8>) {
        match &self.0 {
            Kind::Text { pieces, omit_empty } => {
                parse::render_text(pieces, record, if *omit_empty { b"" } else { b"-" }, out);
            }
            Kind::Json { root, omit_empty } => {
                json::render_line(root, record, *omit_empty, out);
            }
        }
    }
}

#[cfg(test)]
mod tests;
