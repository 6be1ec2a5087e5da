//! What is special about an etcd: others write into it, it goes away and comes back, and it asks who is there.

#![allow(clippy::unwrap_used, reason = "a test that panics is a test that fails")]
#![allow(clippy::print_stderr, reason = "a test that is left out says so")]

#[path = "support/etcd.rs"]
mod etcd_server;

use std::fs;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use tulle_api::Object;
use tulle_api::kubernetes::ConfigMap;
use tulle_store::{
    Etcd, EtcdError, EtcdOptions, Event, Filter, Follow, Store as _, StoreError, Update, Watch,
};

use etcd_server::EtcdServer;

fn config(name: &str, value: &str) -> Object {
    let data = [("k".to_owned(), value.to_owned())].into();
    Object::new("default", name, ConfigMap { data, ..ConfigMap::default() })
}

/// etcd's own HTTP gateway, for what the store never does.
fn gateway(server: &EtcdServer, path: &str, body: &Value) -> Value {
    let url = format!("http://127.0.0.1:{}/v3/{path}", server.port());
    let text = ureq::post(&url).send(body.to_string()).unwrap().body_mut().read_to_string().unwrap();
    serde_json::from_str(&text).unwrap()
}

fn put_raw(server: &EtcdServer, key: &str, value: &[u8]) {
    use base64::Engine as _;
    use base64::prelude::BASE64_STANDARD;
    let body = json!({"key": BASE64_STANDARD.encode(key), "value": BASE64_STANDARD.encode(value)});
    gateway(server, "kv/put", &body);
}

async fn next(watch: &mut Watch) -> Event {
    loop {
        let change = tokio::time::timeout(Duration::from_secs(30), watch.next()).await.unwrap().unwrap();
        if !matches!(change.event, Event::Bookmark) {
            return change.event;
        }
    }
}

#[tokio::test]
async fn what_others_wrote_is_reported_by_key_and_left_alone() {
    let Some(server) = EtcdServer::start().await else { return };
    let store = server.store("/t");
    let good = store.put(config("good", "1")).await.unwrap();
    let start = store.list(Filter::default()).await.unwrap().version;
    let mut watch = store.watch(Filter::default(), start).await.unwrap();
    let moved = config("here", "1").to_json().to_string();
    let foreign: [(&str, &[u8]); 5] = [
        ("/t/configmaps/default/text", b"not JSON"),
        ("/t/configmaps/default/binary", b"k8s\0\x0a\x0f"),
        ("/t/configmaps/default/elsewhere", moved.as_bytes()),
        ("/t/leases/kube-system/x", b"{}"),
        ("/t/configmaps/default/état", b"{\"kind\":5}"),
    ];
    for (key, value) in foreign {
        put_raw(&server, key, value);
    }
    put_raw(&server, "/other/configmaps/default/x", b"is no concern of ours");
    let listing = store.list(Filter::default()).await.unwrap();
    assert_eq!(listing.objects.as_slice(), std::slice::from_ref(&good));
    let mut wanted: Vec<&str> = foreign.iter().map(|(key, _)| *key).collect();
    wanted.sort_unstable();
    let unreadable = store.unreadable();
    assert_eq!(unreadable.iter().map(|(key, _)| key.as_str()).collect::<Vec<_>>(), wanted);
    assert!(unreadable.iter().all(|(_, reason)| !reason.is_empty()), "{unreadable:?}");
    // It is neither read nor overwritten.
    let text = config("text", "1");
    for refused in [
        store.get(&text.resource()).await.map(drop),
        store.put(text.clone()).await.map(drop),
        store.delete(&text.resource()).await.map(drop),
    ] {
        let refused = refused.unwrap_err().to_string();
        assert!(refused.contains("/t/configmaps/default/text") && refused.contains("remove it"), "{refused}");
    }
    // An object that somebody makes unreadable is gone to a watch, and back when it is repaired.
    put_raw(&server, "/t/configmaps/default/good", b"\xff");
    assert!(matches!(next(&mut watch).await, Event::Delete(o) if o == good));
    put_raw(&server, "/t/configmaps/default/good", config("good", "2").to_json().to_string().as_bytes());
    assert!(matches!(next(&mut watch).await, Event::Put(o) if o.meta.name == "good"));
    put_raw(&server, "/t/configmaps/default/text", text.to_json().to_string().as_bytes());
    assert!(store.get(&text.resource()).await.unwrap().is_some());
    assert_eq!(store.unreadable().len(), foreign.len() - 1, "what is repaired is not reported any more");
}

#[tokio::test]
async fn following_goes_on_when_etcd_was_killed_and_came_back() {
    let Some(mut server) = EtcdServer::start().await else { return };
    // The first member is not there at all.
    let mut options = server.options("/t");
    options.endpoints.insert(0, "127.0.0.1:1".to_owned());
    let store = Etcd::new(&options).unwrap();
    let first = store.put(config("a", "1")).await.unwrap();
    let mut follow = Follow::new(Filter::default());
    assert!(matches!(follow.next(&store).await, Update::Put(o) if o == first));
    assert!(matches!(follow.next(&store).await, Update::Synced));
    server.kill();
    let away = store.put(config("b", "1")).await.unwrap_err();
    assert!(matches!(away, StoreError::Unreachable(_)), "{away}");
    server.start_again().await;
    let second = server.store("/t").put(config("c", "1")).await.unwrap();
    let wait = Duration::from_secs(60);
    let update = tokio::time::timeout(wait, async {
        loop {
            match follow.next(&store).await {
                // The write that failed may have been done: it was asked for while etcd died.
                Update::Put(o) if o.meta.name == "b" => {}
                other => return other,
            }
        }
    });
    assert!(matches!(update.await.unwrap(), Update::Put(o) if o == second));
}

#[tokio::test]
async fn a_quiet_watch_is_told_how_far_etcd_is() {
    let Some(server) = EtcdServer::start().await else { return };
    let store = server.store("/t");
    let start = store.put(config("a", "1")).await.unwrap();
    let from = start.meta.resource_version.parse().unwrap();
    let mut watch = store.watch(Filter::default(), from).await.unwrap();
    // Somebody else's changes move the version on.
    let elsewhere = server.store("/elsewhere").put(config("x", "1")).await.unwrap();
    let newest: u64 = elsewhere.meta.resource_version.parse().unwrap();
    let told = tokio::time::timeout(Duration::from_secs(30), async {
        loop {
            let change = watch.next().await.unwrap();
            assert!(matches!(change.event, Event::Bookmark));
            if change.version >= newest {
                return change.version;
            }
        }
    });
    assert_eq!(told.await.unwrap(), newest);
}

#[tokio::test]
async fn users_need_the_right_password() {
    let Some(server) = EtcdServer::start().await else { return };
    gateway(&server, "auth/user/add", &json!({"name": "root", "password": "secret"}));
    gateway(&server, "auth/role/add", &json!({"name": "root"}));
    gateway(&server, "auth/user/grant", &json!({"user": "root", "role": "root"}));
    gateway(&server, "auth/enable", &json!({}));
    let as_user = |user: Option<(&str, &str)>| {
        let user = user.map(|(name, password)| (name.to_owned(), password.to_owned()));
        Etcd::new(&EtcdOptions { user, ..server.options("/t") }).unwrap()
    };
    let store = as_user(Some(("root", "secret")));
    store.check().await.unwrap();
    let stored = store.put(config("a", "1")).await.unwrap();
    let mut watch = store.watch(Filter::default(), 1).await.unwrap();
    assert!(matches!(next(&mut watch).await, Event::Put(o) if o == stored));
    for user in [None, Some(("root", "wrong")), Some(("nobody", "secret"))] {
        let refused = as_user(user).check().await;
        let Err(EtcdError::Refused(refused)) = refused else { panic!("{user:?}: {refused:?}") };
        assert!(refused.to_string().contains("etcd says"), "{refused}");
    }
    let text =
        format!("{:?}", EtcdOptions { user: Some(("root".into(), "secret".into())), ..server.options("/t") });
    assert!(!text.contains("secret"), "{text}");
}

#[tokio::test]
async fn tls_checks_the_servers_name_and_root() {
    let dir = TempDir::new().unwrap();
    write_certificates(&dir, "localhost");
    let Some(server) = EtcdServer::start_with(dir, true).await else { return };
    server.store("/t").put(config("a", "1")).await.unwrap();
    let mut by_address = server.options("/t");
    by_address.endpoints = vec![format!("127.0.0.1:{}", server.port())];
    let other = TempDir::new().unwrap();
    write_certificates(&other, "localhost");
    let mut other_root = server.options("/t");
    other_root.tls.as_mut().unwrap().roots = other.path().join("ca.pem");
    for options in [by_address, other_root] {
        let refused = Etcd::new(&options).unwrap().put(config("a", "2")).await.unwrap_err();
        assert!(matches!(refused, StoreError::Unreachable(_)), "{refused}");
    }
    let mut missing = server.options("/t");
    missing.tls.as_mut().unwrap().roots = other.path().join("missing.pem");
    let error = Etcd::new(&missing).unwrap_err().to_string();
    assert!(error.contains("missing.pem"), "{error}");
}

fn write_certificates(dir: &TempDir, host: &str) {
    use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
    let ca_key = KeyPair::generate().unwrap();
    let mut ca = CertificateParams::default();
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let root = ca.self_signed(&ca_key).unwrap();
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec![host.to_owned()]).unwrap();
    let server = params.signed_by(&key, &Issuer::new(ca, ca_key)).unwrap();
    for (name, text) in
        [("ca.pem", root.pem()), ("server.pem", server.pem()), ("server-key.pem", key.serialize_pem())]
    {
        fs::write(dir.path().join(name), text).unwrap();
    }
}

#[test]
fn addresses_that_are_none_are_refused() {
    let with = |endpoints: &[&str]| EtcdOptions {
        endpoints: endpoints.iter().map(|e| (*e).to_owned()).collect(),
        ..EtcdOptions::default()
    };
    assert!(matches!(Etcd::new(&with(&[])), Err(EtcdError::NoEndpoint)));
    for bad in ["", "host", "host:0", "host:x", ":2379", "http://host:2379", "a b:1"] {
        let error = Etcd::new(&with(&[bad])).unwrap_err().to_string();
        assert!(error.contains("HOST:PORT"), "{bad}: {error}");
    }
}
