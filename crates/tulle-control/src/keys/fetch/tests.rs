use std::future::Future;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap().block_on(future)
}

/// Serves by path; gives the address.
async fn server(answers: &'static [(&'static str, &'static str)]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut bytes = vec![0; 4096];
            let n = stream.read(&mut bytes).await.unwrap_or(0);
            let head = String::from_utf8_lossy(&bytes[..n]).into_owned();
            let path = head.split(' ').nth(1).unwrap_or_default();
            let host = head.lines().find_map(|l| l.strip_prefix("host: ")).unwrap_or_default();
            let found = answers.iter().find(|(p, _)| *p == path);
            let answer = found.map_or("HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n", |(_, a)| a);
            let answer = match answer {
                "LARGE" => format!("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{}", "x".repeat(2 << 20)),
                other => other.replace("HOST", host),
            };
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    address
}

#[test]
fn sets_are_fetched_and_discovered_within_bounds() {
    run(async {
        let at = server(&[
            ("/keys", "HTTP/1.1 200 OK\r\ncache-control: public, max-age=7\r\nconnection: close\r\n\r\n{}"),
            ("/moved", "HTTP/1.1 302 Found\r\nlocation: /keys\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"),
            ("/round", "HTTP/1.1 302 Found\r\nlocation: /round\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"),
            ("/away", "HTTP/1.1 302 Found\r\nlocation: https://HOST/keys\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"),
            ("/file", "HTTP/1.1 302 Found\r\nlocation: file:///etc/passwd\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"),
            (
                "/me/.well-known/openid-configuration",
                "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{\"jwks_uri\": \"http://HOST/keys\"}",
            ),
            ("/large", "LARGE"),
        ])
        .await;
        let fetcher = Fetcher::anywhere();
        let get = async |path: &str| fetcher.fetch(&KeySource::Address(format!("{at}{path}"))).await;
        let keys = get("/keys").await.unwrap();
        assert_eq!((keys.text.as_str(), keys.max_age), ("{}", Some(Duration::from_secs(7))));
        assert_eq!(get("/moved").await.unwrap().text, "{}");
        let found = fetcher.fetch(&KeySource::Discovered(format!("{at}/me/"))).await;
        assert_eq!(found.unwrap().text, "{}");
        for (path, why) in [
            ("/round", "more than 3 redirects"),
            ("/away", "which is not http"),
            ("/file", "which is not http"),
            ("/large", "length limit exceeded"),
            ("/none", "answers 404"),
        ] {
            let error = get(path).await.unwrap_err();
            assert!(error.contains(why), "{path}: {error}");
        }
    });
}

#[test]
fn loopback_is_not_asked() {
    run(async {
        let at = server(&[("/keys", "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{}")]).await;
        let error = Fetcher::new().fetch(&KeySource::Address(format!("{at}/keys"))).await.unwrap_err();
        assert!(error.contains("no address of 127.0.0.1 may be asked"), "{error}");
    });
}

#[test]
fn keys_of_a_secure_issuer_are_fetched_securely() {
    let of = |from: &str, keys: &str| keys_address(from, &format!("{{\"jwks_uri\": \"{keys}\"}}"));
    assert_eq!(of("https://a.b/x", "HTTPS://a.b/keys").unwrap(), "HTTPS://a.b/keys");
    assert_eq!(of("http://a.b/x", "http://a.b/keys").unwrap(), "http://a.b/keys");
    assert_eq!(
        of("https://a.b/x", "http://a.b/keys").unwrap_err(),
        "names http://a.b/keys, which is not https"
    );
    assert_eq!(keys_address("https://a.b/x", "{}").unwrap_err(), "names no jwks_uri");
}
