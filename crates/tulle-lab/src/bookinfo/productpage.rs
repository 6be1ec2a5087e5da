//! The front page: calls details and reviews, shows what it got, and what it did not get.

mod page;

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use serde_json::{Value, json};

use super::{neighbour, product_id};
use crate::LabError;
use crate::server::{self, Reply};
use crate::{client, trace};

/// Options of `tulle lab productpage`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Port to listen on.
    #[arg(long, default_value_t = 9080)]
    port: u16,
}

/// How long the page waits for a neighbour: the sample's 3 s, tried twice for reviews.
const NEIGHBOUR_TIMEOUT: Duration = Duration::from_secs(3);
const REVIEWS_ATTEMPTS: usize = 2;
/// Most bytes of the sign-in form.
const MAX_FORM: usize = 4 * 1024;

/// The neighbours' addresses.
#[derive(Clone, Debug)]
struct Neighbours {
    details: String,
    reviews: String,
    ratings: String,
}

pub(crate) async fn run(args: Args) -> Result<(), LabError> {
    let hosts = Neighbours {
        details: neighbour("details"),
        reviews: neighbour("reviews"),
        ratings: neighbour("ratings"),
    };
    Ok(server::serve(args.port, move |request| answer(hosts.clone(), request)).await?)
}

async fn answer(hosts: Neighbours, request: Request<Incoming>) -> Reply {
    let path = request.uri().path().to_owned();
    match (request.method(), path.as_str()) {
        (_, "/health") => server::text(StatusCode::OK, "Product page is healthy"),
        (_, "/" | "/index.html") => redirect("/productpage", None),
        (&Method::POST, "/login") => login(request).await,
        (_, "/logout") => redirect("/productpage", Some("user=; Path=/; Max-Age=0")),
        (_, "/productpage") => {
            let user = user(request.headers());
            let headers = onward(request.headers(), user.as_deref());
            let (details, reviews) =
                tokio::join!(fetch_details(&hosts, 0, &headers), fetch_reviews(&hosts, 0, &headers));
            server::html(page::render(user.as_deref(), &details, &reviews))
        }
        (_, "/api/v1/products") => server::json(StatusCode::OK, &json!([page::product()])),
        (_, api) => answer_api(&hosts, api, request.headers()).await,
    }
}

async fn answer_api(hosts: &Neighbours, path: &str, headers: &HeaderMap) -> Reply {
    let headers = onward(headers, user(headers).as_deref());
    let found = if let Some(id) =
        path.strip_suffix("/reviews").and_then(|p| product_id(p, "/api/v1/products"))
    {
        fetch_reviews(hosts, id, &headers).await
    } else if let Some(id) = path.strip_suffix("/ratings").and_then(|p| product_id(p, "/api/v1/products")) {
        fetch(&format!("http://{}/ratings/{id}", hosts.ratings), "product ratings", &headers).await
    } else if let Some(id) = product_id(path, "/api/v1/products") {
        fetch_details(hosts, id, &headers).await
    } else {
        return server::json(StatusCode::NOT_FOUND, &json!({ "error": "not found" }));
    };
    match found {
        Ok(value) => server::json(StatusCode::OK, &value),
        Err(sorry) => server::json(sorry.status, &json!({ "error": sorry.message })),
    }
}

/// Why a neighbour's part is missing from the page.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Sorry {
    status: StatusCode,
    message: String,
}

async fn fetch_details(hosts: &Neighbours, id: u64, headers: &HeaderMap) -> Result<Value, Sorry> {
    fetch(&format!("http://{}/details/{id}", hosts.details), "product details", headers).await
}

/// The sample tries reviews twice, which shows what retries in an application do on top of the mesh's.
async fn fetch_reviews(hosts: &Neighbours, id: u64, headers: &HeaderMap) -> Result<Value, Sorry> {
    let url = format!("http://{}/reviews/{id}", hosts.reviews);
    let mut last = fetch(&url, "product reviews", headers).await;
    for _ in 1..REVIEWS_ATTEMPTS {
        if last.is_ok() {
            break;
        }
        last = fetch(&url, "product reviews", headers).await;
    }
    last
}

async fn fetch(url: &str, what: &str, headers: &HeaderMap) -> Result<Value, Sorry> {
    let sorry =
        |status| Sorry { status, message: format!("Sorry, {what} are currently unavailable for this book.") };
    match client::get(url, headers, NEIGHBOUR_TIMEOUT).await {
        Ok(answer) if answer.status().is_success() => {
            serde_json::from_slice(answer.body()).map_err(|_| sorry(StatusCode::BAD_GATEWAY))
        }
        Ok(answer) => Err(sorry(answer.status())),
        Err(_) => Err(sorry(StatusCode::INTERNAL_SERVER_ERROR)),
    }
}

/// Headers for the neighbours: the trace's, and who is signed in.
fn onward(incoming: &HeaderMap, user: Option<&str>) -> HeaderMap {
    let mut headers = trace::forwarded(incoming);
    if let Some(value) = user.and_then(|u| HeaderValue::from_str(u).ok()) {
        headers.insert(HeaderName::from_static("end-user"), value);
    }
    headers
}

/// Who is signed in, by the cookie that [`login`] sets.
fn user(headers: &HeaderMap) -> Option<String> {
    let cookies = headers.get_all(header::COOKIE).into_iter().filter_map(|v| v.to_str().ok());
    let found = cookies.flat_map(|line| line.split(';')).find_map(|pair| pair.trim().strip_prefix("user="));
    found.map(str::to_owned).filter(|name| is_user_name(name))
}

fn is_user_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 64
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-@".contains(&b))
}

/// Any name signs in, without a password, as in the sample.
async fn login(request: Request<Incoming>) -> Reply {
    let body =
        Limited::new(request.into_body(), MAX_FORM).collect().await.map(|b| b.to_bytes()).unwrap_or_default();
    let form = String::from_utf8_lossy(&body);
    let name = form.split('&').find_map(|pair| pair.strip_prefix("username=")).unwrap_or_default();
    if !is_user_name(name) {
        return server::text(
            StatusCode::BAD_REQUEST,
            "A user name has letters, digits and . _ - @, 64 at most.",
        );
    }
    redirect("/productpage", Some(&format!("user={name}; Path=/; HttpOnly; SameSite=Lax")))
}

fn redirect(location: &'static str, cookie: Option<&str>) -> Reply {
    let mut reply = server::text(StatusCode::FOUND, "");
    reply.headers_mut().insert(header::LOCATION, HeaderValue::from_static(location));
    if let Some(value) = cookie.and_then(|c| HeaderValue::from_str(c).ok()) {
        reply.headers_mut().insert(header::SET_COOKIE, value);
    }
    reply
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cookie_names_the_user() {
        let mut headers = HeaderMap::new();
        headers.insert(header::COOKIE, "a=b; user=jason".parse().unwrap());
        assert_eq!(user(&headers).as_deref(), Some("jason"));
        assert_eq!(onward(&headers, Some("jason"))["end-user"], "jason");
        headers.insert(header::COOKIE, "user=<b>".parse().unwrap());
        assert_eq!(user(&headers), None);
    }
}
