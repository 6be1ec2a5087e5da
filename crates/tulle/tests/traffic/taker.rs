//! A service over gRPC that takes everything it gets and writes what it was to a file: a test's own collector, run in a pod of the mesh.

use std::convert::Infallible;
use std::fs;
use std::io::Write as _;

use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{HeaderMap, HeaderValue};
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::Value;

/// What a message to a method (the path of the request) holds, a line of the file for each.
pub type Lines = fn(path: &str, message: &[u8]) -> Vec<Value>;

/// Serves on port 4317 until it is killed.
pub fn serve(file: &str, lines: Lines) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind("0.0.0.0:4317").await.unwrap();
        loop {
            let Ok((socket, _)) = listener.accept().await else { continue };
            let file = file.to_owned();
            tokio::spawn(async move {
                let service = hyper::service::service_fn(move |request| take(request, file.clone(), lines));
                let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                let _ = server.serve_connection(TokioIo::new(socket), service).await;
            });
        }
    });
}

async fn take(
    request: Request<Incoming>,
    file: String,
    lines: Lines,
) -> Result<Response<impl hyper::body::Body<Data = Bytes, Error = Infallible>>, Infallible> {
    let path = request.uri().path().to_owned();
    let body = request.into_body().collect().await.map(|b| b.to_bytes()).unwrap_or_default();
    let mut out = fs::OpenOptions::new().create(true).append(true).open(&file).unwrap();
    for line in lines(&path, body.get(5..).unwrap_or_default()) {
        writeln!(out, "{line}").unwrap();
    }
    let trailers = async {
        Some(Ok(HeaderMap::from_iter([("grpc-status".parse().unwrap(), HeaderValue::from_static("0"))])))
    };
    let mut response = Response::new(Full::new(Bytes::from_static(&[0; 5])).with_trailers(trailers));
    response.headers_mut().insert("content-type", HeaderValue::from_static("application/grpc"));
    Ok(response)
}
