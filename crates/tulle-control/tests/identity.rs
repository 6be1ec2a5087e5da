//! A workload on the TLS port: from its token to a certificate, from its certificate to its configuration.
#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod certified;

use std::time::Duration;

use certified::World;
use prost::Message;
use tulle_api::parse_manifests;
use tulle_identity::{Certificate, Watched};
use tulle_proto::envoy::core::Node;
use tulle_proto::envoy::google::{Struct, Value, value::Kind};
use tulle_proto::type_url;
use tulle_store::Store;
use tulle_xds::client::{self, Client, Event, Interest};

impl World {
    /// What a stream of `cart-0` gets that shows `own`: a number of clusters, or a refusal.
    async fn discover(&self, own: Watched<Certificate>) -> Result<usize, String> {
        let payloads = first("sidecar", self.secure(own), type_url::CLUSTER, Interest::Wildcard).await?;
        Ok(payloads.len())
    }

    /// What a proxy of `kind` gets that asks for the Secret `web`.
    async fn secrets(&self, kind: &str, connector: client::Connector) -> Result<Vec<bytes::Bytes>, String> {
        let names = Interest::Names(vec!["kubernetes://web".to_owned()]);
        first(kind, connector, type_url::SECRET, names).await
    }

    /// What the gateway gets that asks for a Secret of namespace `other` by its whole name.
    async fn secret_of_other(&self, own: &Watched<Certificate>, name: &str) -> Vec<bytes::Bytes> {
        let names = Interest::Names(vec![format!("kubernetes-gateway://other/{name}")]);
        first("router", self.secure(own.clone()), type_url::SECRET, names).await.unwrap()
    }
}

/// The first answer to a proxy that asks for `interest`: payloads, or why it was refused.
async fn first(
    kind: &str,
    connector: client::Connector,
    type_url: &str,
    interest: Interest,
) -> Result<Vec<bytes::Bytes>, String> {
    let text = |s: &str| Value { kind: Some(Kind::StringValue(s.to_owned())) };
    let labels = Struct { fields: [("app".to_owned(), text("gateway"))].into() };
    let labels = Value { kind: Some(Kind::StructValue(labels)) };
    let fields = [("SERVICE_ACCOUNT".to_owned(), text("cart")), ("LABELS".to_owned(), labels)];
    let node = Node {
        id: format!("{kind}~10.244.0.5~cart-0.shop~shop.svc.cluster.local"),
        metadata: Some(Struct { fields: fields.into() }),
        ..Default::default()
    };
    let config = client::Config::new(node.encode_to_vec().into(), "istiod.istio-system.svc");
    let (client, mut events) = Client::start(config, connector);
    client.subscribe(type_url, interest);
    loop {
        match tokio::time::timeout(Duration::from_secs(10), events.next()).await.unwrap().unwrap() {
            Event::Update(update) => return Ok(update.changed.into_iter().map(|r| r.payload).collect()),
            Event::Disconnected { reason, .. } => return Err(reason),
            Event::Connected => {}
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_becomes_a_certificate_and_a_certificate_opens_a_stream() {
    let world = World::start(Duration::from_secs(3600)).await;
    let own = world.certify("cart").await.unwrap();
    assert_eq!(own.get().unwrap().info().uri_sans, ["spiffe://cluster.local/ns/shop/sa/cart"]);
    assert!(world.discover(own).await.unwrap() >= 2);
    world.control.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gateways_get_the_certificates_of_their_namespace_and_nobody_else_does() {
    let world = World::start(Duration::from_secs(3600)).await;
    for namespace in ["shop", "other"] {
        let secret = format!(
            "apiVersion: v1\nkind: Secret\nmetadata: {{name: web, namespace: {namespace}}}\ntype: kubernetes.io/tls\n\
             stringData: {{tls.crt: certificate-of-{namespace}, tls.key: key-of-{namespace}}}\n"
        );
        for object in parse_manifests("secret.yaml", secret.as_bytes()).0 {
            world.store.put(object).await.unwrap();
        }
    }
    let own = world.certify("cart").await.unwrap();
    let router = world.secrets("router", world.secure(own.clone())).await.unwrap();
    assert_eq!(router.len(), 1);
    let text = String::from_utf8_lossy(&router[0]).into_owned();
    assert!(text.contains("key-of-shop") && !text.contains("key-of-other"), "{text}");
    assert!(world.secrets("sidecar", world.secure(own)).await.unwrap().is_empty());
    let plain = world.control.plain;
    let plain = client::connector(move || tokio::net::TcpStream::connect(plain));
    assert!(world.secrets("router", plain).await.unwrap().is_empty());
    world.control.stop().await;
}

/// A Gateway of the Gateway API brings the certificates of its namespace to the pods that serve it, and no other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gateways_get_the_certificates_that_their_listeners_name() {
    let world = World::start(Duration::from_secs(3600)).await;
    let pem =
        |label: &str, text: &str| format!("-----BEGIN {label}-----\\n{text}\\n-----END {label}-----\\n");
    let secret = |name: &str, text: &str| {
        format!(
            "apiVersion: v1\nkind: Secret\nmetadata: {{name: {name}, namespace: other}}\ntype: kubernetes.io/tls\n\
             stringData: {{tls.crt: \"{}\", tls.key: \"{}\"}}\n---\n",
            pem("CERTIFICATE", text),
            pem("PRIVATE KEY", text)
        )
    };
    world.put(&format!("{}{}", secret("named", "first"), secret("unnamed", "never"))).await;
    world
        .put(
            "apiVersion: v1\nkind: Service\nmetadata: {name: gw, namespace: shop}\n\
             spec: {clusterIP: 10.96.0.9, selector: {app: gateway}, ports: [{port: 443, name: https}]}\n",
        )
        .await;
    let gateway = |class: &str| {
        format!(
            "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {{name: edge, namespace: other}}\nspec:\n  \
             gatewayClassName: {class}\n  addresses: [{{type: Hostname, value: gw.shop.svc.cluster.local}}]\n  listeners:\n  \
             - {{name: https, port: 443, protocol: HTTPS, tls: {{certificateRefs: [{{name: named}}]}}}}\n"
        )
    };
    world.put(&gateway("tulle")).await;
    let own = world.certify("cart").await.unwrap();
    // The store's changes reach the mesh a moment later.
    let eventually = async |wanted: &str| {
        for _ in 0..200 {
            let got = world.secret_of_other(&own, "named").await;
            let text: String = got.iter().map(|b| String::from_utf8_lossy(b).into_owned()).collect();
            if if wanted.is_empty() { got.is_empty() } else { text.contains(wanted) } {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("{wanted:?} does not come");
    };
    eventually("first").await;
    assert!(world.secret_of_other(&own, "unnamed").await.is_empty());
    let names = Interest::Names(vec!["kubernetes-gateway://other/named".to_owned()]);
    let sidecar = first("sidecar", world.secure(own.clone()), type_url::SECRET, names).await.unwrap();
    assert!(sidecar.is_empty());
    world.put(&secret("named", "second")).await;
    eventually("second").await;
    world.put(&gateway("others")).await;
    eventually("").await;
    world.control.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_somebody_else() {
    let world = World::start(Duration::from_secs(3600)).await;
    let without = world.discover(Watched::empty()).await.unwrap_err();
    assert!(without.starts_with("Unauthenticated") && without.contains("certificate"), "{without}");
    let other = world.certify("other").await.unwrap();
    let refused = world.discover(other).await.unwrap_err();
    assert!(refused.starts_with("PermissionDenied"), "{refused}");
    assert!(refused.contains("/sa/other") && refused.contains("/sa/cart"), "{refused}");
    // A certificate of another root does not get as far as that.
    let stranger = World::start(Duration::from_secs(3600)).await;
    let foreign = stranger.certify("cart").await.unwrap();
    assert!(world.discover(foreign).await.is_err());
    // The pod goes, and its token with it.
    let pod = tulle_base::ResourceRef::new("", "Pod", "shop", "cart-0");
    world.store.delete(&pod).await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    let refused = world.certify("cart").await.unwrap_err().to_string();
    assert!(refused.contains("does not exist"), "{refused}");
    world.control.stop().await;
    stranger.control.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_control_planes_certificate_rotates_under_its_streams() {
    let world = World::start(Duration::from_secs(4)).await;
    let own = world.certify("cart").await.unwrap();
    assert!(world.discover(own).await.is_ok());
    // After more than its first life the port still has a good certificate, and so has a new client.
    tokio::time::sleep(Duration::from_millis(4_500)).await;
    let own = world.certify("cart").await.unwrap();
    assert!(world.discover(own).await.is_ok());
    world.control.stop().await;
}

/// What is larger than anything honest is not read: neither headers nor messages.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_control_plane_bounds_what_it_reads() {
    use http_body_util::{BodyExt as _, Full};
    use hyper_util::rt::{TokioExecutor, TokioIo};

    let world = World::start(Duration::from_secs(3600)).await;
    let address = world.control.plain;
    let ask = async |header: usize| {
        // Not compressed, and four gigabytes long.
        let body = vec![0, 0xff, 0xff, 0xff, 0xff];
        let socket = tokio::net::TcpStream::connect(address).await.unwrap();
        let executor = TokioExecutor::new();
        let (mut sender, connection) =
            hyper::client::conn::http2::handshake(executor, TokioIo::new(socket)).await.unwrap();
        tokio::spawn(connection);
        let request =
            http::Request::post("http://istiod/istio.v1.auth.IstioCertificateService/CreateCertificate")
                .header("content-type", "application/grpc")
                .header("authorization", "x".repeat(header))
                .body(Full::new(bytes::Bytes::from(body)))
                .unwrap();
        let answered = async {
            let response = sender.send_request(request).await.map_err(|e| e.to_string())?;
            let (head, body) = response.into_parts();
            let trailers = body.collect().await.map_err(|e| e.to_string())?.trailers().cloned();
            let all = trailers.unwrap_or_default();
            let code = all.get("grpc-status").or_else(|| head.headers.get("grpc-status")).cloned();
            Ok::<_, String>((head.status.as_u16(), code.and_then(|c| c.to_str().ok().map(str::to_owned))))
        };
        tokio::time::timeout(Duration::from_secs(10), answered).await.expect("an answer, or an end")
    };
    // RESOURCE_EXHAUSTED or OUT_OF_RANGE.
    let (status, code) = ask(100).await.unwrap();
    assert_eq!(status, 200);
    assert!(matches!(code.as_deref(), Some("8" | "11")), "{code:?}");
    match ask(64 << 10).await {
        Ok((status, _)) => assert_eq!(status, 431),
        Err(reset) => assert!(!reset.is_empty()),
    }
    // It goes on serving.
    assert!(world.certify("cart").await.is_ok());
    world.control.stop().await;
}
