//! `/config_dump`.

use std::rc::Rc;

use hyper::StatusCode;
use tokio::sync::oneshot;
use tulle_proto::json::{JsonError, Schema};

use super::http::{Asked, Reply};
use crate::boot::Main;

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
    let value = Schema::load().to_json("envoy.admin.v3.ConfigDump", encoded)?;
    // JSON values always can be written.
    let mut body = serde_json::to_vec_pretty(&value).unwrap_or_default();
    body.push(b'\n');
    Ok(body)
}
