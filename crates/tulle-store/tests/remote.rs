//! A store in another process behaves as one in this process.

#![allow(clippy::unwrap_used, reason = "a test that panics is a test that fails")]

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde_json::json;
use tempfile::TempDir;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinHandle;
use tulle_api::kubernetes::ConfigMap;
use tulle_api::{Kind, Object};
use tulle_base::SourceSpan;
use tulle_store::{Event, Filter, Follow, Memory, RemoteStore, Store as _, StoreError, Update, serve};

fn config(name: &str, value: &str) -> Object {
    let data = [("k".to_owned(), value.to_owned())].into();
    Object::new("default", name, ConfigMap { data, ..ConfigMap::default() })
}

struct Given {
    dir: TempDir,
    memory: Memory,
    remote: RemoteStore,
    server: JoinHandle<()>,
}

impl Given {
    fn store(memory: Memory) -> Self {
        let dir = TempDir::new().unwrap();
        let server = start(&dir, &memory);
        let remote = RemoteStore::new(dir.path().join("store.sock"));
        Self { dir, memory, remote, server }
    }

    async fn stop(&mut self) {
        self.server.abort();
        let _ = (&mut self.server).await;
    }
}

fn start(dir: &TempDir, memory: &Memory) -> JoinHandle<()> {
    let path = dir.path().join("store.sock");
    let _ = std::fs::remove_file(&path);
    tokio::spawn(serve(UnixListener::bind(path).unwrap(), Arc::new(memory.clone())))
}

#[tokio::test]
async fn every_request_and_every_error_gets_through() {
    let given = Given::store(Memory::with(SystemTime::now, 2));
    let mut object = config("a", "1");
    object.origin = Some(SourceSpan { file: "a.yaml".into(), line: 3, column: 1 });
    let stored = given.remote.put(object).await.unwrap();
    assert_eq!(stored, given.memory.get_now(&stored.resource()).unwrap());
    assert_eq!(given.remote.get(&stored.resource()).await.unwrap(), Some(stored.clone()));
    let with_status = given.remote.put_status(&stored.resource(), json!({"a": 1})).await.unwrap();
    assert_eq!(with_status.status, Some(json!({"a": 1})));
    let conflict = given.remote.put(Object::clone(&stored)).await;
    assert!(matches!(conflict, Err(StoreError::Conflict { expected: 1, found: 2, .. })), "{conflict:?}");
    assert!(matches!(
        given.remote.put(config("", "")).await,
        Err(StoreError::Invalid { .. } | StoreError::Unreadable(_) | StoreError::Protocol(_))
    ));
    for i in 0..300 {
        given.remote.put(config(&format!("n{i:03}"), "x")).await.unwrap();
    }
    let listing = given.remote.list(Filter::kinds(&[Kind::ConfigMap])).await.unwrap();
    assert_eq!((listing.objects.len(), listing.version), (301, 302));
    assert_eq!(listing.objects, given.memory.list_now(&Filter::default()).objects);
    assert!(given.remote.delete(&stored.resource()).await.unwrap().is_some());
    assert!(given.remote.delete(&stored.resource()).await.unwrap().is_none());
    let gone = given.remote.put_status(&stored.resource(), json!({})).await;
    assert!(matches!(gone, Err(StoreError::NotFound(r)) if r == stored.resource()));
    assert!(matches!(
        given.remote.watch(Filter::default(), 1).await,
        Err(StoreError::Expired { from: 1, .. })
    ));
}

#[tokio::test]
async fn changes_come_at_once() {
    let given = Given::store(Memory::new());
    let mut watch = given.remote.watch(Filter::default(), 0).await.unwrap();
    let mut times = Vec::new();
    for i in 1..=50u64 {
        let put = given.memory.put_now(config("a", &i.to_string())).unwrap();
        let written = std::time::Instant::now();
        let change = tokio::time::timeout(Duration::from_secs(5), watch.next()).await.unwrap().unwrap();
        times.push(written.elapsed());
        assert_eq!(change.version, i);
        assert!(matches!(change.event, Event::Put(o) if o == put));
    }
    times.sort();
    assert!(times[25] < Duration::from_millis(50), "median {:?}", times[25]);
}

#[tokio::test]
async fn ten_thousand_objects_are_listed_in_order() {
    let given = Given::store(Memory::new());
    for i in 0..10_000 {
        given.memory.put_now(config(&format!("n{i:05}"), "x")).unwrap();
    }
    let start = std::time::Instant::now();
    let listing = given.remote.list(Filter::kinds(&[Kind::ConfigMap])).await.unwrap();
    eprintln!("10000 objects over the socket: {:?}", start.elapsed());
    assert_eq!((listing.objects.len(), listing.version), (10_000, 10_000));
    assert!(listing.objects.is_sorted_by_key(|o| &o.meta.name));
}

async fn until_synced(follow: &mut Follow, store: &RemoteStore) -> Vec<String> {
    let mut seen = Vec::new();
    loop {
        match follow.next(store).await {
            Update::Put(o) => seen.push(format!("+{}", o.meta.name)),
            Update::Delete(o) => seen.push(format!("-{}", o.meta.name)),
            Update::Synced => return seen,
        }
    }
}

#[tokio::test]
async fn following_goes_on_when_the_store_comes_back() {
    let mut given = Given::store(Memory::new());
    given.memory.put_now(config("a", "1")).unwrap();
    let mut follow = Follow::new(Filter::kinds(&[Kind::ConfigMap]));
    assert_eq!(until_synced(&mut follow, &given.remote).await, ["+a"]);
    given.memory.put_now(config("b", "1")).unwrap();
    assert!(matches!(follow.next(&given.remote).await, Update::Put(o) if o.meta.name == "b"));
    given.stop().await;
    given.memory.put_now(config("c", "1")).unwrap();
    let waiting = tokio::time::timeout(Duration::from_millis(200), follow.next(&given.remote)).await;
    assert!(waiting.is_err(), "nothing comes while the store is away");
    given.server = start(&given.dir, &given.memory);
    assert!(matches!(follow.next(&given.remote).await, Update::Put(o) if o.meta.name == "c"));
}

#[tokio::test]
async fn only_differences_are_told_after_a_new_start_of_the_store() {
    let mut given = Given::store(Memory::new());
    for name in ["a", "b", "c"] {
        given.memory.put_now(config(name, "1")).unwrap();
    }
    let mut follow = Follow::new(Filter::default());
    assert_eq!(until_synced(&mut follow, &given.remote).await, ["+a", "+b", "+c"]);
    let old = given.memory.list_now(&Filter::default()).objects;
    given.stop().await;
    // Another store: b is as before, a is gone, c differs; its versions start anew.
    given.memory = Memory::with(SystemTime::now, 1);
    for object in [old[1].as_ref().clone(), config("c", "2")] {
        let mut object = object;
        object.meta.resource_version.clear();
        given.memory.put_now(object).unwrap();
    }
    given.server = start(&given.dir, &given.memory);
    let seen = until_synced(&mut follow, &given.remote).await;
    assert!(seen.contains(&"-a".to_owned()) && seen.contains(&"+c".to_owned()), "{seen:?}");
}

#[tokio::test]
async fn garbage_ends_a_connection_and_nothing_else() {
    let given = Given::store(Memory::new());
    let path = given.dir.path().join("store.sock");
    for bytes in
        [&b"not json\n"[..], b"{}\n{\"put\":{\"object\":{}}}\n", b"{\"get\":5}\n\xff\xfe\n", b"[[[[[[[["]
    {
        let mut stream = UnixStream::connect(&path).await.unwrap();
        stream.write_all(bytes).await.unwrap();
    }
    let mut stream = UnixStream::connect(&path).await.unwrap();
    let chunk = vec![b'x'; 1 << 20];
    let mut sent = 0;
    while sent < 64 && stream.write_all(&chunk).await.is_ok() {
        sent += 1;
    }
    assert!(sent < 64, "an endless line is cut off");
    assert!(given.remote.put(config("a", "1")).await.is_ok());
}
