//! The reviews service: v1 without stars, v2 with black ones, v3 with red ones.

use std::time::Duration;

use http::{HeaderMap, Request, StatusCode};
use hyper::body::Incoming;
use serde_json::{Value, json};

use super::{neighbour, product_id};
use crate::LabError;
use crate::server::{self, Reply};
use crate::{client, trace};

/// Options of `tulle lab reviews`.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Port to listen on.
    #[arg(long, default_value_t = 9080)]
    port: u16,
    /// Which of the three versions: v1 has no stars, v2 black ones, v3 red ones.
    #[arg(long, default_value = "v1", value_parser = ["v1", "v2", "v3"])]
    version: String,
}

/// What sets a version apart; `None` for a version that shows no ratings.
#[derive(Clone, Copy, Debug)]
struct Stars {
    color: &'static str,
    timeout: Duration,
}

pub(crate) async fn run(args: Args) -> Result<(), LabError> {
    // The sample waits 10 s for black stars and 2.5 s for red ones.
    let stars = match args.version.as_str() {
        "v2" => Some(Stars { color: "black", timeout: Duration::from_secs(10) }),
        "v3" => Some(Stars { color: "red", timeout: Duration::from_millis(2_500) }),
        _ => None,
    };
    let ratings = neighbour("ratings");
    Ok(server::serve(args.port, move |request: Request<Incoming>| answer(ratings.clone(), stars, request))
        .await?)
}

async fn answer(ratings: String, stars: Option<Stars>, request: Request<Incoming>) -> Reply {
    let path = request.uri().path();
    if path == "/health" {
        return server::json(StatusCode::OK, &json!({ "status": "Reviews is healthy" }));
    }
    let Some(id) = product_id(path, "/reviews") else {
        return server::json(StatusCode::NOT_FOUND, &json!({ "error": "ask for /reviews/ID" }));
    };
    let found = match stars {
        None => None,
        Some(stars) => Some((stars, fetch_ratings(&ratings, id, stars, request.headers()).await)),
    };
    server::json(StatusCode::OK, &reviews(id, found.as_ref()))
}

/// Stars by reviewer; `None` when the ratings service does not answer well and in time.
async fn fetch_ratings(host: &str, id: u64, stars: Stars, headers: &HeaderMap) -> Option<Value> {
    let url = format!("http://{host}/ratings/{id}");
    let answer = client::get(&url, &trace::forwarded(headers), stars.timeout).await.ok()?;
    if !answer.status().is_success() {
        return None;
    }
    serde_json::from_slice::<Value>(answer.body()).ok()?.get("ratings").cloned()
}

fn reviews(id: u64, ratings: Option<&(Stars, Option<Value>)>) -> Value {
    let texts = [
        (
            "Reviewer1",
            "Two pairs of twins, one long day of mistakes: I laughed from the first act to the last.",
        ),
        ("Reviewer2", "Quick, silly and well made. Do not look here for the depth of the later plays."),
    ];
    let reviews: Vec<Value> = texts
        .iter()
        .map(|(reviewer, text)| {
            let mut review = json!({ "reviewer": reviewer, "text": text });
            match ratings {
                None => {}
                Some((stars, Some(ratings))) => {
                    review["rating"] = json!({ "stars": ratings[reviewer], "color": stars.color });
                }
                Some((_, None)) => {
                    review["rating"] = json!({ "error": "Ratings service is currently unavailable" });
                }
            }
            review
        })
        .collect();
    json!({ "id": id.to_string(), "podname": server::pod_name(), "clustername": "null", "reviews": reviews })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_errors_and_neither() {
        let stars = Stars { color: "red", timeout: Duration::from_secs(1) };
        let with = reviews(0, Some(&(stars, Some(json!({ "Reviewer1": 5, "Reviewer2": 4 })))));
        assert_eq!(with["reviews"][1]["rating"], json!({ "stars": 4, "color": "red" }));
        let broken = reviews(0, Some(&(stars, None)));
        assert_eq!(broken["reviews"][0]["rating"]["error"], "Ratings service is currently unavailable");
        assert!(reviews(0, None)["reviews"][0].get("rating").is_none());
    }
}
