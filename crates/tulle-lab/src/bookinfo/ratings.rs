//! The ratings service: stars by reviewer, changed by POST while it runs.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use serde_json::{Map, Value, json};

use super::product_id;
use crate::LabError;
use crate::server::{self, Reply};

/// Options of `tulle lab ratings`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Port to listen on.
    #[arg(long, default_value_t = 9080)]
    port: u16,
}

/// Most products that POST may add, and most bytes of one POST.
const MAX_PRODUCTS: usize = 1_000;
const MAX_BODY: usize = 64 * 1024;

/// Ratings by product that were posted; other products have the sample's defaults.
type Posted = Arc<Mutex<HashMap<u64, Value>>>;

pub(crate) async fn run(args: Args) -> Result<(), LabError> {
    let posted = Posted::default();
    Ok(server::serve(args.port, move |request| answer(posted.clone(), request)).await?)
}

async fn answer(posted: Posted, request: Request<Incoming>) -> Reply {
    let path = request.uri().path().to_owned();
    if path == "/health" {
        return server::json(StatusCode::OK, &json!({ "status": "Ratings is healthy" }));
    }
    let Some(id) = product_id(&path, "/ratings") else {
        let status =
            if path.starts_with("/ratings/") { StatusCode::BAD_REQUEST } else { StatusCode::NOT_FOUND };
        return server::json(status, &json!({ "error": "please provide numeric product ID" }));
    };
    if request.method() == Method::POST {
        return post(&posted, id, request).await;
    }
    let stored = posted.lock().unwrap_or_else(PoisonError::into_inner).get(&id).cloned();
    let ratings = stored.unwrap_or_else(|| json!({ "Reviewer1": 5, "Reviewer2": 4 }));
    server::json(StatusCode::OK, &json!({ "id": id, "ratings": ratings }))
}

async fn post(posted: &Posted, id: u64, request: Request<Incoming>) -> Reply {
    let refused = |error: &str| server::json(StatusCode::BAD_REQUEST, &json!({ "error": error }));
    let Ok(body) = Limited::new(request.into_body(), MAX_BODY).collect().await else {
        return refused("could not read the ratings; send at most 64 KiB of JSON");
    };
    let Ok(ratings) = serde_json::from_slice::<Map<String, Value>>(&body.to_bytes()) else {
        return refused("please provide valid ratings JSON");
    };
    let mut all = posted.lock().unwrap_or_else(PoisonError::into_inner);
    if all.len() >= MAX_PRODUCTS && !all.contains_key(&id) {
        return refused("too many products");
    }
    all.insert(id, Value::Object(ratings.clone()));
    server::json(StatusCode::OK, &json!({ "id": id, "ratings": ratings }))
}
