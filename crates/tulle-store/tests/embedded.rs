//! The durable store over restarts, and with files that it cannot use.

#![allow(clippy::unwrap_used, reason = "a test that panics is a test that fails")]

use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::json;
use tempfile::TempDir;
use tulle_api::Object;
use tulle_api::kubernetes::{ConfigMap, Service};
use tulle_base::SourceSpan;
use tulle_store::{
    Embedded, EmbeddedOptions, Event, Filter, Keep, LocalStore as _, OpenError, Store as _, StoreError,
    Version,
};

fn config(name: &str, value: &str) -> Object {
    let data = [("k".to_owned(), value.to_owned())].into();
    Object::new("default", name, ConfigMap { data, ..ConfigMap::default() })
}

fn version(object: &Object) -> Version {
    object.meta.resource_version.parse().unwrap()
}

async fn next(store: &Embedded, from: Version) -> Result<Version, StoreError> {
    let mut watch = store.watch(Filter::default(), from).await?;
    Ok(tokio::time::timeout(Duration::from_secs(30), watch.next()).await.unwrap()?.version)
}

#[tokio::test]
async fn everything_is_there_after_a_restart() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("store.db");
    let store = Embedded::open(&path).unwrap();
    let mut first = config("a", "1");
    first.origin = Some(SourceSpan { file: "a.yaml".into(), line: 3, column: 1 });
    let first = store.put(first).await.unwrap();
    let gone = store.put(config("gone", "1")).await.unwrap();
    store.delete(&gone.resource()).await.unwrap().unwrap();
    let with_status = store.put_status(&first.resource(), json!({"ok": true})).await.unwrap();
    let before = store.list(Filter::default()).await.unwrap();
    drop(store);
    let store = Embedded::open(&path).unwrap();
    let after = store.list(Filter::default()).await.unwrap();
    assert_eq!((after.version, &after.objects), (before.version, &before.objects));
    assert_eq!(after.objects, [with_status]);
    assert_eq!(version(&store.put(config("b", "1")).await.unwrap()), before.version + 1);
}

#[tokio::test]
async fn a_watch_goes_on_after_a_restart_where_it_was() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("store.db");
    let options = EmbeddedOptions { log_limit: 4, ..EmbeddedOptions::default() };
    let store = Embedded::open_with(&path, options).unwrap();
    for n in 1..=8 {
        store.put(config("a", &n.to_string())).await.unwrap();
    }
    let removed = store.delete(&config("a", "").resource()).await.unwrap().unwrap();
    drop(store);
    let store = Embedded::open_with(&path, options).unwrap();
    let mut watch = store.watch(Filter::default(), 5).await.unwrap();
    for wanted in 6..=8 {
        let change = watch.next().await.unwrap();
        assert!(matches!(change.event, Event::Put(o) if version(&o) == wanted) && change.version == wanted);
    }
    let change = watch.next().await.unwrap();
    assert!(matches!(change.event, Event::Delete(o) if o == removed) && change.version == 9);
    assert!(matches!(next(&store, 4).await, Err(StoreError::Expired { from: 4, oldest: 5 })));
    assert!(matches!(next(&store, 10).await, Err(StoreError::Expired { .. })));
    store.put(config("b", "1")).await.unwrap();
    assert_eq!(watch.next().await.unwrap().version, 10);
}

/// As a mesh on one machine keeps its objects: those of files not at all, of others no status.
fn of_api(object: &Object) -> Keep {
    if object.origin.is_some() { Keep::Nothing } else { Keep::WithoutStatus }
}

#[tokio::test]
async fn what_is_not_kept_is_gone_after_a_restart_and_no_version_comes_twice() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("store.db");
    let options = EmbeddedOptions { keep: Some(of_api), ..EmbeddedOptions::default() };
    let store = Embedded::open_with(&path, options).unwrap();
    let from_file = |name: &str| {
        let mut object = config(name, "1");
        object.origin = Some(SourceSpan { file: "a.yaml".into(), line: 1, column: 1 });
        object
    };
    let made = store.put_now(config("made", "1")).unwrap();
    store.put_status_now(&made.resource(), json!({"phase": "Running"})).unwrap();
    store.put_now(from_file("filed")).unwrap();
    // A file takes over an object that was made by hand.
    store.put_now(config("taken", "1")).unwrap();
    store.put_now(from_file("taken")).unwrap();
    store.put_now(config("removed", "1")).unwrap();
    store.delete_now(&config("removed", "").resource(), &Default::default()).unwrap().unwrap();
    let last = store.list_now(&Filter::default()).version;
    drop(store);
    let store = Embedded::open_with(&path, options).unwrap();
    let listing = store.list_now(&Filter::default());
    assert!(listing.version >= last);
    assert_eq!(listing.objects, [made]);
    for from in [1, last - 1] {
        assert!(matches!(next(&store, from).await, Err(StoreError::Expired { .. })), "{from}");
    }
    assert!(version(&store.put_now(config("new", "1")).unwrap()) > last);
    // Opened as a store that keeps everything, it goes on in the same way.
    let last = store.list_now(&Filter::default()).version;
    drop(store);
    let store = Embedded::open(&path).unwrap();
    let new = store.put_now(from_file("filed")).unwrap();
    assert!(version(&new) > last);
    drop(store);
    assert_eq!(Embedded::open(&path).unwrap().get_now(&new.resource()), Some(new));
}

#[tokio::test]
async fn writers_who_wait_together_are_all_answered() {
    let dir = TempDir::new().unwrap();
    let store = Embedded::open(dir.path().join("store.db")).unwrap();
    // All are asked for before the first is waited for.
    let asked: Vec<_> = (0..3000).map(|n| store.put(config(&format!("n{n}"), "1"))).collect();
    let mut last = 0;
    for done in asked {
        let at = version(&done.await.unwrap());
        assert!(at > last, "in the order in which they were asked for");
        last = at;
    }
    // One that nobody waits for is done all the same.
    drop(store.put(config("dropped", "1")));
    store.put(config("after", "1")).await.unwrap();
    assert!(store.get_now(&config("dropped", "").resource()).is_some());
}

fn refusal(path: &Path) -> OpenError {
    Embedded::open(path).expect_err("the file cannot be used")
}

#[test]
fn files_that_cannot_be_used_are_named_with_the_way_out() {
    let dir = TempDir::new().unwrap();
    let check = |path: &Path, wanted: &[&str]| {
        let text = refusal(path).to_string();
        for part in wanted.iter().copied().chain([path.to_str().unwrap()]) {
            assert!(text.contains(part), "{text}");
        }
    };
    let path = dir.path().join("store.db");
    let open = Embedded::open(&path).unwrap();
    check(&path, &["another process has this store open"]);
    drop(open);
    check(&dir.path().join("missing/store.db"), &["make its folder first"]);
    check(dir.path(), &["name a file, not a folder"]);
    let text = dir.path().join("notes.txt");
    for content in ["these are my notes\n", &"n".repeat(100_000)] {
        fs::write(&text, content).unwrap();
        check(&text, &["not a store", "move the file away"]);
        assert_eq!(fs::read_to_string(&text).unwrap(), content, "the file is as it was");
    }
    fs::write(&text, "").unwrap();
    assert!(Embedded::open(&text).is_ok(), "an empty file becomes a store");
    let foreign = dir.path().join("foreign.db");
    let database = redb::Database::create(&foreign).unwrap();
    let transaction = database.begin_write().unwrap();
    let table: redb::TableDefinition<'_, &str, &str> = redb::TableDefinition::new("meta");
    transaction.open_table(table).unwrap().insert("a", "b").unwrap();
    transaction.commit().unwrap();
    drop(database);
    check(&foreign, &["another program"]);
    let newer = dir.path().join("newer.db");
    drop(Embedded::open(&newer).unwrap());
    let database = redb::Database::open(&newer).unwrap();
    let transaction = database.begin_write().unwrap();
    let table: redb::TableDefinition<'_, &str, u64> = redb::TableDefinition::new("meta");
    transaction.open_table(table).unwrap().insert("format", 2).unwrap();
    transaction.commit().unwrap();
    drop(database);
    check(&newer, &["format 2", "reads format 1", "move the file away"]);
}

#[test]
fn a_row_that_cannot_be_read_is_reported_and_stays() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("store.db");
    let store = Embedded::open(&path).unwrap();
    let kept = store.put_now(config("a", "1")).unwrap();
    drop(store);
    let rows: redb::TableDefinition<'_, &str, &[u8]> = redb::TableDefinition::new("objects");
    let database = redb::Database::open(&path).unwrap();
    let transaction = database.begin_write().unwrap();
    let row = br#"{"object":{"apiVersion":"v9","kind":"Novelty","metadata":{"name":"x"}}}"#;
    transaction.open_table(rows).unwrap().insert("/novelties/default/x", row.as_slice()).unwrap();
    transaction.commit().unwrap();
    drop(database);
    for _ in 0..2 {
        let store = Embedded::open(&path).unwrap();
        assert_eq!(store.list_now(&Filter::default()).objects.as_slice(), std::slice::from_ref(&kept));
        let [(key, reason)] = store.unreadable() else { panic!("{:?}", store.unreadable()) };
        assert!(key == "/novelties/default/x" && !reason.is_empty(), "{key}: {reason}");
        store.put_now(Object::new("default", "b", Service::default())).unwrap();
        store
            .delete_now(&Object::new("default", "b", Service::default()).resource(), &Default::default())
            .unwrap();
    }
}

#[test]
fn the_file_does_not_grow_with_the_number_of_changes() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("store.db");
    let options = EmbeddedOptions { log_limit: 100, ..EmbeddedOptions::default() };
    let store = Embedded::open_with(&path, options).unwrap();
    let value = "x".repeat(2000);
    let rounds = |count: usize| {
        for n in 0..count {
            let writes: Vec<_> =
                (0..20).map(|i| store.put(config(&format!("n{i}"), &format!("{n}{value}")))).collect();
            for write in writes {
                block_on(write).unwrap();
            }
        }
        fs::metadata(&path).unwrap().len()
    };
    let early = rounds(30);
    let late = rounds(150);
    assert!(late <= early * 2, "{early} bytes after 600 changes, {late} after 3600");
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}
