//! Peers that others have written: curl, nghttp, h2load and nghttpd. Where one is missing its tests are skipped, but not in CI.

use std::{
    env, fs,
    net::{SocketAddr, TcpListener, TcpStream},
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

use serde_json::json;

use crate::{
    common::{
        Backend, Proxy, any_host, cluster, eventually, http, http2, listener, ok,
        tls::{Authority, SERVER, server_tls},
    },
    wire::{Rig, Upstream},
    wire_h2::Frames,
};

/// Where a program is: on the path, or where `./test` unpacks it.
fn program(name: &str, package: &str) -> Option<PathBuf> {
    let target = env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../target"), PathBuf::from);
    let path = env::var_os("PATH").unwrap_or_default();
    let folders =
        env::split_paths(&path).chain(["usr/bin", "usr/sbin"].map(|f| target.join("peers").join(f)));
    let starts = |file: &PathBuf| {
        let tried = Command::new(file).arg("--version").stdin(Stdio::null()).output();
        tried.is_ok_and(|output| output.status.success())
    };
    let found = folders.map(|folder| folder.join(name)).find(|file| file.is_file() && starts(file));
    if found.is_none() {
        assert!(env::var_os("CI").is_none(), "there is no {name}: apt-get install {package}, or run ./test");
        eprintln!("skipped: there is no {name}");
    }
    found
}

/// What a command prints that must succeed, errors included.
fn run(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().unwrap();
    let text =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?}: {text}");
    text
}

fn url(rig: &Rig, path: &str) -> String {
    format!("http://{}{path}", rig.at())
}

/// An application that says what it was sent, and answers large things on `/large`.
fn app() -> Backend {
    Backend::http(|request| {
        if request.line.contains("/large") {
            return ok(&"z".repeat(5_000_000));
        }
        ok(&format!("{} {} bytes\n", request.line, request.body.len()))
    })
}

/// curl in HTTP/1.0, HTTP/1.1, HTTP/2 by prior knowledge, and with the upgrade to h2c, which is declined.
#[test]
fn curl_speaks_every_version() {
    let Some(curl) = program("curl", "curl") else { return };
    let app = app();
    let rig = Rig::with(
        cluster("app", &[app.address]),
        json!({ "http_protocol_options": { "accept_http_10": true }, "upgrade_configs": [{ "upgrade_type": "websocket" }] }),
    );
    let folder = tempfile::tempdir().unwrap();
    let big = folder.path().join("big");
    fs::write(&big, vec![b'x'; 3_000_000]).unwrap();
    for (version, spoken) in
        [("--http1.0", "1.1"), ("--http1.1", "1.1"), ("--http2-prior-knowledge", "2"), ("--http2", "1.1")]
    {
        let curl = |args: &[&str]| {
            let mut command = Command::new(&curl);
            command.args(["-sS", "--max-time", "30", version]).args(args);
            run(&mut command)
        };
        let said = curl(&["-w", "%{http_version}", &url(&rig, "/one")]);
        assert_eq!(said, format!("GET /one HTTP/1.1 0 bytes\n{spoken}"), "{version}");
        if spoken == "1.1" {
            // curl 7.88 itself fails to use an HTTP/2 connection again, whoever the server is.
            let said = curl(&[&url(&rig, "/one"), &url(&rig, "/two")]);
            assert_eq!(said, "GET /one HTTP/1.1 0 bytes\nGET /two HTTP/1.1 0 bytes\n", "{version}");
        }
        // With `Expect: 100-continue`, as curl asks for bodies of this size.
        let said = curl(&["-T", big.to_str().unwrap(), &url(&rig, "/put")]);
        assert!(said.contains("PUT /put HTTP/1.1 3000000 bytes"), "{version}: {said}");
        if version != "--http1.0" {
            let said = curl(&[
                "-X",
                "POST",
                "-H",
                "Transfer-Encoding: chunked",
                "--data-binary",
                &format!("@{}", big.display()),
                &url(&rig, "/post"),
            ]);
            assert!(said.contains("POST /post HTTP/1.1 3000000 bytes"), "{version}: {said}");
        }
        let said = curl(&["-I", &url(&rig, "/head")]);
        assert!(said.to_ascii_lowercase().contains("content-length:"), "{version}: {said}");
        let size = curl(&["-o", "/dev/null", "-w", "%{size_download}", &url(&rig, "/large")]);
        assert_eq!(size, "5000000", "{version}");
    }
}

/// curl through CONNECT, which ends here.
#[test]
fn curl_tunnels_through_connect() {
    let Some(curl) = program("curl", "curl") else { return };
    let app = app();
    let route = json!({ "upgrade_configs": [{ "upgrade_type": "CONNECT", "connect_config": {} }] });
    let rig = Rig::routed(cluster("app", &[app.address]), json!({}), route);
    let said = run(Command::new(curl).args([
        "-sS",
        "--max-time",
        "30",
        "-p",
        "-x",
        &url(&rig, ""),
        "http://far.example:80/inside",
    ]));
    assert!(said.contains("GET /inside HTTP/1.1 0 bytes"), "{said}");
}

/// nghttp: many streams, a body both ways, padding, a small window, continued heads.
#[test]
fn nghttp_gets_what_it_asks_for() {
    let Some(nghttp) = program("nghttp", "nghttp2-client") else { return };
    let app = app();
    let rig = Rig::h1(app.address);
    let folder = tempfile::tempdir().unwrap();
    let big = folder.path().join("big");
    fs::write(&big, vec![b'x'; 1_000_000]).unwrap();
    let long = format!("x-long: {}", "y".repeat(20_000));
    let cases: [(&str, &[&str], &str); 6] = [
        ("/plain", &[], "GET /plain HTTP/1.1 0 bytes"),
        ("/padded", &["-b", "200"], "GET /padded HTTP/1.1 0 bytes"),
        ("/windows", &["-w", "10", "-W", "10"], "GET /windows HTTP/1.1 0 bytes"),
        ("/table", &["-c", "0"], "GET /table HTTP/1.1 0 bytes"),
        ("/long", &["-H", &long], "GET /long HTTP/1.1 0 bytes"),
        ("/post", &["-d", big.to_str().unwrap()], "POST /post HTTP/1.1 1000000 bytes"),
    ];
    for (path, args, expected) in cases {
        let said = run(Command::new(&nghttp).args(args).arg(url(&rig, path)));
        assert!(said.contains(expected), "{path}: {said}");
    }
    let said = run(Command::new(&nghttp).args([
        "-n",
        "-s",
        "-m",
        "100",
        "-w",
        "10",
        "-W",
        "12",
        &url(&rig, "/large"),
    ]));
    assert_eq!(said.matches(" 200 ").count(), 100, "{said}");
}

/// h2load: thousands of requests on a few connections, all answered; also with bodies, and in HTTP/1.1.
#[test]
fn h2load_loses_no_request() {
    let Some(h2load) = program("h2load", "nghttp2-client") else { return };
    let upstream = Upstream::well();
    let rig = Rig::h1(upstream.at());
    let folder = tempfile::tempdir().unwrap();
    let body = folder.path().join("body");
    fs::write(&body, vec![b'x'; 50_000]).unwrap();
    for args in [
        // No more at a time than the backlog of the server's socket holds.
        vec!["-n", "3000", "-c", "10", "-m", "10"],
        vec!["-n", "1000", "-c", "4", "-m", "20", "-d", body.to_str().unwrap()],
        vec!["-n", "2000", "-c", "20", "--h1"],
        vec!["-n", "500", "-c", "5", "-m", "10", "-w", "1", "-W", "1"],
    ] {
        let said = run(Command::new(&h2load).args(&args).arg(url(&rig, "/")));
        let count = args[1];
        let line = format!(
            "{count} total, {count} started, {count} done, {count} succeeded, 0 failed, 0 errored, 0 timeout"
        );
        assert!(said.contains(&line), "{args:?}: {said}");
        assert!(said.contains(&format!("{count} 2xx")), "{args:?}: {said}");
    }
    rig.settles();
}

/// nghttpd as the upstream: files, trailers, an echo of uploads, errors.
#[test]
fn nghttpd_is_an_upstream() {
    let Some(nghttpd) = program("nghttpd", "nghttp2-server") else { return };
    struct Ends(Child);
    impl Drop for Ends {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("small"), "a file").unwrap();
    fs::write(folder.path().join("large"), vec![b'z'; 5_000_000]).unwrap();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let at: SocketAddr = ([127, 0, 0, 1], port).into();
    let _server = Ends(
        Command::new(nghttpd)
            .args(["--no-tls", "-a", "127.0.0.1", "--echo-upload", "--trailer", "x-sum: 1", "-d"])
            .arg(folder.path())
            .arg(port.to_string())
            .stdout(Stdio::null())
            .spawn()
            .unwrap(),
    );
    eventually("it listens", || TcpStream::connect(at).is_ok());
    let rig = Rig::with(http2(cluster("app", &[at])), json!({}));
    let mut client = rig.client();
    client.stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    for _ in 0..3 {
        assert_eq!(client.get("/small").body, "a file");
        assert_eq!(client.get("/large").body.len(), 5_000_000);
        assert_eq!(client.get("/none").status, 404);
    }
    client.send("HEAD /large HTTP/1.1\r\nhost: a\r\n\r\n");
    let response = client.receive_for("HEAD").unwrap();
    assert_eq!((response.status, response.headers["content-length"].as_str()), (200, "5000000"));
    let upload = "u".repeat(300_000);
    client
        .send(format!("POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\n\r\n{upload}", upload.len()));
    assert_eq!(client.receive().unwrap().body, upload);
    let mut frames = Frames::connect(rig.at());
    frames.get(1, "/small");
    assert_eq!(frames.status(1), 200);
    assert_eq!(frames.body(1), b"a file");
    frames.get(3, "/small");
    frames.fields(3);
    assert_eq!(frames.fields(3), [("x-sum".to_owned(), "1".to_owned())], "its trailer");
}

/// RFC 9113 section 3.2 and RFC 7301: over TLS, ALPN chooses the version, for curl, nghttp and h2load alike.
#[test]
fn alpn_chooses_the_version() {
    let Some(curl) = program("curl", "curl") else { return };
    let (Some(nghttp), Some(h2load)) =
        (program("nghttp", "nghttp2-client"), program("h2load", "nghttp2-client"))
    else {
        return;
    };
    let app = app();
    let route = json!([{ "match": { "prefix": "/" }, "route": { "cluster": "app" } }]);
    let mut inbound = listener("in", http(any_host(route), json!({})));
    let mut tls = server_tls(&["h2", "http/1.1"]);
    tls["typed_config"]["require_client_certificate"] = json!(false);
    inbound["filter_chains"][0]["transport_socket"] = tls;
    let ca = Authority::new();
    let resources = json!({ "listeners": [inbound], "clusters": [cluster("app", &[app.address])] });
    let proxy = Proxy::with(resources, ca.settings(SERVER));
    let url = |path: &str| format!("https://{}{path}", proxy.address("in"));
    let with = ["-sS", "-k", "--max-time", "30", "-w", "%{http_version}"];
    for (version, spoken) in [("--http2", "2"), ("--http1.1", "1.1"), ("--no-alpn", "1.1")] {
        let said = run(Command::new(&curl).args(with).arg(version).arg(url("/one")));
        assert_eq!(said, format!("GET /one HTTP/1.1 0 bytes\n{spoken}"), "{version}");
        let size = run(Command::new(&curl).args(with).args([version, "-o", "/dev/null", &url("/large")]));
        assert_eq!(size, spoken, "{version}");
    }
    let said = run(Command::new(&nghttp).args(["-y", &url("/frames")]));
    assert!(said.contains("GET /frames HTTP/1.1 0 bytes"), "{said}");
    let said = run(Command::new(&h2load).args(["-n", "500", "-c", "5", "-m", "10", &url("/")]));
    assert!(said.contains("500 succeeded, 0 failed") && said.contains("h2"), "{said}");
}
