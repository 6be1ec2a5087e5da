//! `/config_dump`.

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

/// The configuration in force as JSON, without secrets.
///
/// The descriptors for that take many times the memory of the proxy itself, so they are loaded in a thread that ends with the dump,
/// and one dump is made at a time.
pub(super) async fn config_dump(main: &Rc<Main>, asked: &Asked) -> Reply {
    if main.dumping.replace(true) {
        return Reply::of(StatusCode::SERVICE_UNAVAILABLE, "another dump is being made; try again\n");
    }
    let encoded = main.config_dump(asked.parameter("include_eds").is_some());
    let (sender, receiver) = oneshot::channel();
    let thread = std::thread::Builder::new().name("config-dump".to_owned()).spawn(move || {
        // An asker that has gone away is no problem.
        let _ = sender.send(render(&encoded));
    });
    let rendered = match thread {
        Ok(_) => receiver.await,
        Err(error) => {
            main.dumping.set(false);
            return Reply::of(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n"));
        }
    };
    main.dumping.set(false);
    match rendered {
        Ok(Ok(body)) => Reply { status: StatusCode::OK, content_type: "application/json", body: body.into() },
        Ok(Err(error)) => Reply::of(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
        Err(_) => Reply::of(StatusCode::INTERNAL_SERVER_ERROR, "the dump broke off\n"),
    }
}

fn render(encoded: &[u8]) -> Result<Vec<u8>, JsonError> {
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
