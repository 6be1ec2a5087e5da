//! The dashboard's pages: what `npm run build` made of `ui/`, embedded, so that the binary is built without Node.
//!
//! Names of assets contain a hash of their content and may be kept for ever; the page itself is asked for again each time and
//! answered with 304 if it is still the same. Nothing is loaded from elsewhere, and nothing may be (`content-security-policy`).

use std::io::Read;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{
    ACCEPT_ENCODING, ALLOW, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG,
    HeaderMap, HeaderName, HeaderValue, IF_NONE_MATCH, REFERRER_POLICY, VARY, X_CONTENT_TYPE_OPTIONS,
    X_FRAME_OPTIONS,
};
use hyper::{Method, Response, StatusCode};

/// A file as it is served.
struct File {
    path: &'static str,
    content_type: &'static str,
    /// In quotes, of the content before compression.
    etag: &'static str,
    /// Whether its name changes with its content.
    immutable: bool,
    gzip: &'static [u8],
    brotli: &'static [u8],
}

include!("../../../../ui/dist/files.rs");

/// What a page may do: nothing but what comes from here.
const POLICY: &str = "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'self'; form-action 'self'; \
     frame-ancestors 'none'";

/// Answers a request for a page or an asset; `None` if `path` is neither.
pub fn answer(method: &Method, path: &str, asked: &HeaderMap) -> Option<Response<Full<Bytes>>> {
    // The link that the command prints to log in ends at /login; the page reads what follows.
    let path = if matches!(path, "/" | "/login") { "/index.html" } else { path };
    let file = FILES.iter().find(|f| f.path == path)?;
    let mut response = Response::new(Full::default());
    secure(response.headers_mut());
    if !matches!(*method, Method::GET | Method::HEAD) {
        *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return Some(response);
    }
    let headers = response.headers_mut();
    headers.insert(ETAG, HeaderValue::from_static(file.etag));
    headers.insert(VARY, HeaderValue::from_static("accept-encoding"));
    let caching = if file.immutable { "public, max-age=31536000, immutable" } else { "no-cache" };
    headers.insert(CACHE_CONTROL, HeaderValue::from_static(caching));
    if has(asked, IF_NONE_MATCH, |tag| tag == "*" || tag.trim_start_matches("W/") == file.etag) {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        return Some(response);
    }
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(file.content_type));
    let accepts = |name: &str| {
        has(asked, ACCEPT_ENCODING, |coding| {
            let mut parts = coding.split(';').map(str::trim);
            let named = parts.next().is_some_and(|n| n.eq_ignore_ascii_case(name));
            named && !parts.any(|q| matches!(q, "q=0" | "q=0.0" | "q=0.00" | "q=0.000"))
        })
    };
    let body = if accepts("br") {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("br"));
        Bytes::from_static(file.brotli)
    } else if accepts("gzip") {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        Bytes::from_static(file.gzip)
    } else {
        plain(file)
    };
    if *method == Method::GET {
        *response.body_mut() = Full::new(body);
    }
    Some(response)
}

/// Headers that hold for every page, and do no harm elsewhere.
pub fn secure(headers: &mut HeaderMap) {
    for (name, value) in [
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (X_FRAME_OPTIONS, "DENY"),
        (REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
}

/// Whether one of the entries of a list header is meant.
fn has(headers: &HeaderMap, name: HeaderName, test: impl Fn(&str) -> bool) -> bool {
    let values = headers.get_all(name);
    let mut entries = values.iter().filter_map(|v| v.to_str().ok()).flat_map(|v| v.split(','));
    entries.any(|entry| test(entry.trim()))
}

/// For the few that take no compression.
fn plain(file: &File) -> Bytes {
    let mut out = Vec::new();
    // The build made it, and a test reads all of them.
    let _ = flate2::read::GzDecoder::new(file.gzip).read_to_end(&mut out);
    out.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get(path: &str, headers: &[(HeaderName, &str)]) -> Response<Full<Bytes>> {
        let headers = headers.iter().map(|(n, v)| (n.clone(), v.parse().expect("valid"))).collect();
        answer(&Method::GET, path, &headers).expect("served")
    }

    fn length(response: &Response<Full<Bytes>>) -> u64 {
        use hyper::body::Body;
        response.body().size_hint().exact().expect("known")
    }

    #[test]
    fn every_file_is_whole_in_each_form() {
        assert!(FILES.iter().any(|f| f.path == "/index.html"));
        for file in FILES {
            assert!(!plain(file).is_empty() && !file.brotli.is_empty(), "{}", file.path);
            assert_eq!(file.immutable, file.path.starts_with("/assets/"), "{}", file.path);
        }
    }

    #[test]
    fn forms_and_caching() {
        let page = get("/", &[(ACCEPT_ENCODING, "gzip;q=0, deflate")]);
        assert_eq!(page.headers().get(CONTENT_ENCODING), None);
        assert_eq!(page.headers()[CACHE_CONTROL], "no-cache");
        assert!(
            page.headers()[CONTENT_SECURITY_POLICY].to_str().expect("text").contains("default-src 'self'")
        );
        let packed = get("/", &[(ACCEPT_ENCODING, "gzip, deflate")]);
        assert_eq!(packed.headers()[CONTENT_ENCODING], "gzip");
        assert!(length(&packed) < length(&page));
        assert_eq!(get("/", &[(ACCEPT_ENCODING, "gzip, br")]).headers()[CONTENT_ENCODING], "br");
        let tag = page.headers()[ETAG].to_str().expect("text").to_owned();
        let again = get("/", &[(IF_NONE_MATCH, &tag)]);
        assert_eq!((again.status(), length(&again)), (StatusCode::NOT_MODIFIED, 0));
        let asset = FILES.iter().find(|f| f.immutable).expect("one");
        assert!(get(asset.path, &[]).headers()[CACHE_CONTROL].to_str().expect("text").contains("immutable"));
        assert!(answer(&Method::GET, "/assets/../Cargo.toml", &HeaderMap::new()).is_none());
        let post = answer(&Method::POST, "/", &HeaderMap::new()).expect("served");
        assert_eq!(post.status(), StatusCode::METHOD_NOT_ALLOWED);
    }
}
