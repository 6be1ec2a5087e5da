//! `/config_dump`.

use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::process::{Command, Stdio};
use std::rc::Rc;

use hyper::StatusCode;
use serde_json::Value;
use tokio::sync::oneshot;
use tulle_proto::json::{Json, JsonError};

use super::http::{Asked, Reply};
use crate::boot::Main;

/// Members whose value is never shown.
const SECRET_MEMBERS: &[&str] =
    &["private_key", "private_key_provider", "password", "session_ticket_keys", "pkcs12", "generic_secret"];

/// Why there is no dump.
#[derive(Debug, thiserror::Error)]
enum DumpError {
    /// The message cannot be written as JSON.
    #[error(transparent)]
    Json(#[from] JsonError),
    /// The program that renders it cannot be run.
    #[error("rendering: {0}")]
    Io(#[from] std::io::Error),
    /// It failed.
    #[error("rendering failed: {0}")]
    Failed(std::process::ExitStatus),
}

/// Marks that a dump is being made, until it is dropped: also when the asker goes away in the middle.
struct Busy(Rc<Main>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.dumping.set(false);
    }
}

/// The configuration in force as JSON, without secrets.
///
/// The descriptors for that take many times the memory of the proxy itself, so another process loads them where the proxy was told
/// of one, and one dump is made at a time.
pub(super) async fn config_dump(main: &Rc<Main>, asked: &Asked) -> Reply {
    if main.dumping.replace(true) {
        return Reply::of(StatusCode::SERVICE_UNAVAILABLE, "another dump is being made; try again\n");
    }
    let _busy = Busy(Rc::clone(main));
    let encoded = main.config_dump(asked.parameter("include_eds").is_some());
    let command = main.dump_command();
    let (sender, receiver) = oneshot::channel();
    let thread = std::thread::Builder::new().name("config-dump".to_owned()).spawn(move || {
        let rendered = match command.as_deref() {
            Some([program, args @ ..]) => elsewhere(program, args, &encoded),
            Some([]) | None => dump_as_json(&encoded).map_err(DumpError::Json),
        };
        // An asker that has gone away is no problem.
        let _ = sender.send(rendered);
    });
    let failed = |text: String| Reply::of(StatusCode::INTERNAL_SERVER_ERROR, text);
    if let Err(error) = thread {
        return failed(format!("{error}\n"));
    }
    match receiver.await {
        Ok(Ok(body)) => Reply { status: StatusCode::OK, content_type: "application/json", body: body.into() },
        Ok(Err(error)) => failed(format!("{error}\n")),
        Err(_) => failed("the dump broke off\n".to_owned()),
    }
}

/// Has another process render the dump.
fn elsewhere(program: &OsStr, args: &[OsString], encoded: &[u8]) -> Result<Vec<u8>, DumpError> {
    let mut child = Command::new(program).args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        // It reads everything before it writes anything, so neither waits for the other.
        stdin.write_all(encoded)?;
    }
    let output = child.wait_with_output()?;
    if output.status.success() { Ok(output.stdout) } else { Err(DumpError::Failed(output.status)) }
}

/// An encoded `envoy.admin.v3.ConfigDump` as JSON text, without secrets.
///
/// # Errors
/// [`JsonError`] when the bytes are no such message.
pub fn dump_as_json(encoded: &[u8]) -> Result<Vec<u8>, JsonError> {
    let mut value = Json::load()?.decode("envoy.admin.v3.ConfigDump", encoded)?;
    redact(&mut value);
    let mut body = serde_json::to_vec_pretty(&value)?;
    body.push(b'\n');
    Ok(body)
}

fn redact(value: &mut Value) {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                if SECRET_MEMBERS.contains(&name.as_str()) {
                    *value = Value::String("[redacted]".to_owned());
                } else {
                    redact(value);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(redact),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_not_shown() {
        let mut value =
            serde_json::json!({ "a": [{ "private_key": { "inline_string": "KEY" }, "name": "x" }] });
        redact(&mut value);
        assert_eq!(value, serde_json::json!({ "a": [{ "private_key": "[redacted]", "name": "x" }] }));
    }
}
