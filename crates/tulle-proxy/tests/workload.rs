//! Identity for other processes, from us and from others, and what OpenSSL says of it.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a failed unwrap is a failed test")]

mod authority;
mod common;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use authority::{MeshCa, Workload};
use common::{Backend, Proxy, any_host, cluster, http, listener, tls::server_tls};
use serde_json::json;
use tonic::Code;
use tonic_prost::ProstCodec;
use tulle_identity::rotate::RotationStatus;
use tulle_identity::{CertInfo, Secrets, Watched};
use tulle_proxy::workload::external::External;
use tulle_proxy::workload::spiffe::{BundlesResponse, Empty, SvidResponse};

/// The first answer of a method of the Workload API.
fn fetch<R: prost::Message + Default + 'static>(
    ca: &MeshCa,
    socket: &Path,
    method: &'static str,
    header: Option<&'static str>,
) -> Result<R, tonic::Status> {
    ca.runtime.block_on(async {
        let path = socket.to_owned();
        let connector = tulle_xds::client::connector(move || tokio::net::UnixStream::connect(path.clone()));
        let channel =
            tulle_xds::client::channel("localhost", Duration::from_secs(5), connector).await.unwrap();
        let mut grpc = tonic::client::Grpc::new(channel);
        grpc.ready().await.unwrap();
        let mut request = tonic::Request::new(Empty {});
        if let Some(value) = header {
            request.metadata_mut().insert("workload.spiffe.io", value.parse().unwrap());
        }
        let path = http_path(method);
        let codec: ProstCodec<Empty, R> = ProstCodec::default();
        let mut stream = grpc.server_streaming(request, path, codec).await?.into_inner();
        Ok(stream.message().await?.unwrap())
    })
}

fn http_path(method: &str) -> ::http::uri::PathAndQuery {
    format!("/SpiffeWorkloadAPI/{method}").parse().unwrap()
}

#[test]
fn the_workload_api_gives_an_identity_and_what_to_trust() {
    let ca = MeshCa::start();
    let web = ca.workload("web");
    for header in [None, Some("yes")] {
        let refused = fetch::<SvidResponse>(&ca, &web.socket, "FetchX509SVID", header).unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{refused}");
        assert!(refused.message().contains("security header missing"), "{refused}");
    }
    let jwt = fetch::<SvidResponse>(&ca, &web.socket, "FetchJWTSVID", Some("true")).unwrap_err();
    assert_eq!(jwt.code(), Code::Unimplemented);

    let response: SvidResponse = fetch(&ca, &web.socket, "FetchX509SVID", Some("true")).unwrap();
    let [svid] = &response.svids[..] else { panic!("{response:?}") };
    assert_eq!(svid.spiffe_id, web.id);
    let chain = certificates(&svid.x509_svid);
    assert_eq!(chain.len(), 2, "leaf and intermediate");
    assert_eq!(CertInfo::read(&chain[0]).unwrap().uri_sans, std::slice::from_ref(&web.id));
    let own = web.secrets.certificate("default").get().unwrap();
    assert_ne!(own.chain()[0], chain[0], "the proxy's own key is not given away");
    assert!(response.federated_bundles.is_empty());
    let bundles: BundlesResponse = fetch(&ca, &web.socket, "FetchX509Bundles", Some("true")).unwrap();
    assert_eq!(bundles.bundles.keys().collect::<Vec<_>>(), ["spiffe://cluster.local"]);
    assert_eq!(bundles.bundles["spiffe://cluster.local"], svid.bundle);
    let root = std::fs::read(ca.root_file()).unwrap();
    assert_eq!(certificates(&svid.bundle), tulle_identity::material::read_certificates(&root).unwrap());
}

/// DER one after the other.
fn certificates(mut der: &[u8]) -> Vec<rustls_pki_types::CertificateDer<'static>> {
    let mut all = Vec::new();
    while let [0x30, 0x82, high, low, ..] = der {
        let (one, rest) = der.split_at(4 + usize::from(u16::from_be_bytes([*high, *low])));
        all.push(one.to_vec().into());
        der = rest;
    }
    all
}

/// A proxy whose identity comes from an SDS server, here our own beside another workload's proxy.
#[test]
fn identity_comes_from_an_sds_server_in_place_of_the_ca() {
    let ca = MeshCa::start();
    let cart = ca.workload("cart");
    let secrets = Secrets::default();
    let external = |socket: PathBuf, trust_domain: &str, secrets: &Secrets| {
        let status = Watched::<RotationStatus>::empty();
        let external = External {
            socket,
            node: Default::default(),
            trust_domain: trust_domain.to_owned(),
            certificate: secrets.certificate("default"),
            bundle: secrets.bundle("ROOTCA"),
            status: status.clone(),
        };
        ca.runtime.spawn(external.run());
        status
    };
    // The server comes later than the proxy.
    let late = ca.dir.path().join("late.sock");
    let status = external(late.clone(), "cluster.local", &secrets);
    ca.runtime.block_on(status.changed_since(0));
    assert!(status.get().unwrap().last_error.is_some());
    std::os::unix::fs::symlink(&cart.socket, &late).unwrap();
    ca.runtime.block_on(secrets.certificate("default").changed_since(0));
    ca.runtime.block_on(secrets.bundle("ROOTCA").changed_since(0));
    let certificate = secrets.certificate("default").get().unwrap();
    assert_eq!(certificate.info().uri_sans, std::slice::from_ref(&cart.id));
    assert_eq!(secrets.bundle("ROOTCA").get().unwrap().trust_domains(), ["cluster.local"]);

    // It serves with it: a client of the mesh believes it.
    let app = Backend::echo();
    let server = Proxy::with(inbound(&app), tulle_proxy::worker::Settings { secrets, ..Default::default() });
    let web = ca.workload("web");
    let out = common::tls::over_tls(cluster("cart", &[server.address("in")]), &["http/1.1"], &cart.id);
    let routes = any_host(json!([{ "match": { "prefix": "/" }, "route": { "cluster": "cart" } }]));
    let client = Proxy::with(
        json!({ "listeners": [listener("out", http(routes, json!({})))], "clusters": [out] }),
        web.settings(),
    );
    let response = common::get(client.address("out"), "/");
    assert_eq!(response.status, 200, "{}", response.body);

    // One of another trust domain is not put in force.
    let other = Secrets::default();
    let status = external(cart.socket.clone(), "other.example", &other);
    common::eventually("it is refused", || {
        let error = status.get().and_then(|s| s.last_error.clone()).unwrap_or_default();
        error.contains("no identity of trust domain other.example")
    });
    assert!(other.certificate("default").get().is_none());
}

fn inbound(app: &Backend) -> serde_json::Value {
    let routes = any_host(json!([{ "match": { "prefix": "/" }, "route": { "cluster": "app" } }]));
    let filters = http(routes, json!({}));
    let mut inbound = listener("in", filters);
    inbound["filter_chains"][0]["transport_socket"] = server_tls(&["http/1.1"]);
    json!({ "listeners": [inbound], "clusters": [cluster("app", &[app.address])] })
}

/// OpenSSL, or nothing where it is not installed; a machine of CI has it.
fn openssl(args: &[&str]) -> Option<String> {
    let output = Command::new("openssl").args(args).stdin(Stdio::null()).output();
    match output {
        Ok(output) => {
            let text = [output.stdout, output.stderr].concat();
            Some(String::from_utf8_lossy(&text).into_owned())
        }
        Err(error) => {
            assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "openssl: {error}");
            eprintln!("skipped: openssl: {error}");
            None
        }
    }
}

/// The identity of a workload in files, as the Workload API gives it.
fn files(ca: &MeshCa, workload: &Workload, name: &str) -> (String, String, String) {
    let response: SvidResponse = fetch(ca, &workload.socket, "FetchX509SVID", Some("true")).unwrap();
    let svid = &response.svids[0];
    let chain = certificates(&svid.x509_svid);
    let place = |suffix: &str| ca.dir.path().join(format!("{name}-{suffix}.pem")).display().to_string();
    let pem = |label: &str, der: &[u8]| {
        use base64::Engine as _;
        let text = base64::prelude::BASE64_STANDARD.encode(der);
        let lines: Vec<&str> = text.as_bytes().chunks(64).map(|l| std::str::from_utf8(l).unwrap()).collect();
        format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
    };
    let (leaf, more, key) = (place("leaf"), place("chain"), place("key"));
    std::fs::write(&leaf, pem("CERTIFICATE", &chain[0])).unwrap();
    std::fs::write(&more, pem("CERTIFICATE", &chain[1])).unwrap();
    std::fs::write(&key, pem("PRIVATE KEY", &svid.x509_svid_key)).unwrap();
    (leaf, more, key)
}

#[test]
fn openssl_agrees_about_chain_and_names() {
    if openssl(&["version"]).is_none() {
        return;
    }
    let ca = MeshCa::start();
    let (web, cart) = (ca.workload("web"), ca.workload("cart"));
    let root = ca.root_file().display().to_string();
    let (leaf, chain, key) = files(&ca, &web, "web");
    let verify = |args: &[&str]| openssl(args).unwrap();
    let verdict = verify(&["verify", "-CAfile", &root, "-untrusted", &chain, "-purpose", "sslclient", &leaf]);
    assert!(verdict.trim().ends_with("OK"), "{verdict}");
    assert!(!verify(&["verify", "-CAfile", &root, &leaf]).contains("OK"), "the intermediate is needed");
    let names = verify(&[
        "x509",
        "-in",
        &leaf,
        "-noout",
        "-ext",
        "subjectAltName,keyUsage,extendedKeyUsage,basicConstraints",
    ]);
    for said in [
        format!("URI:{}", web.id),
        "Digital Signature".to_owned(),
        "TLS Web Server Authentication, TLS Web Client Authentication".to_owned(),
        "CA:FALSE".to_owned(),
    ] {
        assert!(names.contains(&said), "{said} in {names}");
    }

    let app = Backend::echo();
    let server = Proxy::with(inbound(&app), cart.settings());
    let at = server.address("in").to_string();
    let shaken = verify(&[
        "s_client",
        "-connect",
        &at,
        "-CAfile",
        &root,
        "-cert",
        &leaf,
        "-cert_chain",
        &chain,
        "-key",
        &key,
        "-alpn",
        "http/1.1",
        "-tls1_3",
        "-verify_return_error",
    ]);
    assert!(shaken.contains("Verify return code: 0 (ok)"), "{shaken}");
    assert!(shaken.contains("ALPN protocol: http/1.1"), "{shaken}");
    let presented = shaken.find("-----BEGIN").map(|begin| {
        let end = shaken.find("-----END CERTIFICATE-----").unwrap();
        format!("{}-----END CERTIFICATE-----\n", &shaken[begin..end])
    });
    let file = ca.dir.path().join("presented.pem").display().to_string();
    std::fs::write(&file, presented.unwrap()).unwrap();
    let names = verify(&["x509", "-in", &file, "-noout", "-ext", "subjectAltName"]);
    assert!(names.contains(&format!("URI:{}", cart.id)), "{names}");
}

/// A process in another network namespace reaches the socket's file, and is given nothing.
#[test]
fn processes_of_other_pods_get_no_identity() {
    let ca = MeshCa::start();
    let web = ca.workload("web");
    let request = ca.dir.path().join("request");
    std::fs::write(&request, [0; 5]).unwrap();
    let ask = |around: &[&str]| {
        let data = format!("@{}", request.display());
        let curl = ["curl", "-s", "-m", "3", "--http2-prior-knowledge", "-o", "-", "--data-binary", &data];
        let headers =
            ["-H", "workload.spiffe.io: true", "-H", "content-type: application/grpc", "-H", "te: trailers"];
        let url = [
            "http://localhost/SpiffeWorkloadAPI/FetchX509SVID",
            "--unix-socket",
            web.socket.to_str().unwrap(),
        ];
        let all = [around, &curl[..], &headers[..], &url[..]].concat();
        let output = Command::new(all[0]).args(&all[1..]).stdin(Stdio::null()).output();
        output.map(|o| String::from_utf8_lossy(&o.stdout).into_owned())
    };
    let separate = ["unshare", "--map-root-user", "--net"];
    let can = Command::new(separate[0]).args(&separate[1..]).arg("true").status().is_ok_and(|s| s.success());
    let (Ok(own), true) = (ask(&[]), can) else {
        assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "curl or unshare is missing");
        eprintln!("skipped: curl or unshare is missing");
        return;
    };
    assert!(own.contains(&web.id), "{own}");
    let other = ask(&separate).unwrap();
    assert!(!other.contains("spiffe://"), "{other}");
}
