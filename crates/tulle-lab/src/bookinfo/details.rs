//! The details service: facts about a book.

use http::{Request, StatusCode};
use hyper::body::Incoming;
use serde_json::{Value, json};

use super::product_id;
use crate::LabError;
use crate::server::{self, Reply};

/// Options of `tulle lab details`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Port to listen on.
    #[arg(long, default_value_t = 9080)]
    port: u16,
}

pub(crate) async fn run(args: Args) -> Result<(), LabError> {
    Ok(server::serve(args.port, |request: Request<Incoming>| async move { answer(request.uri().path()) })
        .await?)
}

fn answer(path: &str) -> Reply {
    if path == "/health" {
        return server::json(StatusCode::OK, &json!({ "status": "Details is healthy" }));
    }
    match product_id(path, "/details") {
        Some(id) => server::json(StatusCode::OK, &details(id)),
        None if path.starts_with("/details/") => {
            server::json(StatusCode::BAD_REQUEST, &json!({ "error": "please provide numeric product id" }))
        }
        None => server::json(StatusCode::NOT_FOUND, &json!({ "error": "not found" })),
    }
}

fn details(id: u64) -> Value {
    json!({
        "id": id, "author": "William Shakespeare", "year": 1595, "type": "paperback", "pages": 200,
        "publisher": "PublisherA", "language": "English", "ISBN-10": "1234567890", "ISBN-13": "123-1234567890",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths() {
        assert_eq!(answer("/details/0").status(), 200);
        assert_eq!(answer("/details/x").status(), 400);
        assert_eq!(answer("/health").status(), 200);
        assert_eq!(answer("/").status(), 404);
    }
}
