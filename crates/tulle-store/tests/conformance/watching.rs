//! Watches.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tulle_api::kubernetes::Service;
use tulle_api::{Kind, Object};
use tulle_store::{Change, Event, Filter, Follow, Store, StoreError, Update, Version, Watch};

use crate::behaviours::{config, config_in, version};
use crate::stores::Given;

/// The next change that is not a bookmark.
async fn next(watch: &mut Watch) -> Result<Change, StoreError> {
    let wait = Duration::from_secs(60);
    loop {
        let change = tokio::time::timeout(wait, watch.next()).await.expect("a change within a minute")?;
        if !matches!(change.event, Event::Bookmark) {
            return Ok(change);
        }
    }
}

/// What happened, in a form that can be compared.
fn told(change: &Change) -> (Version, bool, Arc<Object>) {
    match &change.event {
        Event::Put(object) => (change.version, true, object.clone()),
        Event::Delete(object) => (change.version, false, object.clone()),
        Event::Bookmark => panic!("a bookmark"),
    }
}

/// Random writes; returns what they did, in order. `gone` are versions of deletions, which the writer is not told.
async fn random_writes(store: &dyn Store, count: usize) -> Vec<(bool, Arc<Object>)> {
    let mut random = fastrand::Rng::with_seed(7);
    let mut history = Vec::new();
    for n in 0..count {
        let name = format!("n{}", random.u8(..5));
        let resource = config(&name, "").resource();
        match random.u8(..10) {
            0 | 1 => history.extend(store.delete(&resource).await.unwrap().map(|o| (false, o))),
            2 => match store.put_status(&resource, json!({"n": n})).await {
                Ok(object) => history.push((true, object)),
                Err(StoreError::NotFound(_)) => {}
                Err(error) => panic!("{error}"),
            },
            _ => history.push((true, store.put(config(&name, &n.to_string())).await.unwrap())),
        }
    }
    history
}

pub(crate) async fn every_change_once_and_in_order(given: &Given) {
    let start = given.store.list(Filter::default()).await.unwrap().version;
    let mut watch = given.store.watch(Filter::default(), start).await.unwrap();
    let writing = {
        let store = given.store.clone();
        tokio::spawn(async move { random_writes(&*store, 300).await })
    };
    let mut seen = Vec::new();
    let history = writing.await.unwrap();
    let mut last = start;
    for _ in 0..history.len() {
        let change = next(&mut watch).await.unwrap();
        let (at, put, object) = told(&change);
        assert!(at > last, "{at} after {last}");
        if put {
            assert_eq!(at, version(&object));
        }
        last = at;
        seen.push((put, object));
    }
    assert_eq!(seen, history);
    // Nothing more comes before the next write.
    let end = given.store.put(config("end", "1")).await.unwrap();
    assert_eq!(told(&next(&mut watch).await.unwrap()), (version(&end), true, end));
}

pub(crate) async fn a_watch_goes_on_from_any_version(given: &Given) {
    let start = given.store.list(Filter::default()).await.unwrap().version;
    let history = random_writes(&*given.store, 40).await;
    let mut first = given.store.watch(Filter::default(), start).await.unwrap();
    let mut changes = Vec::new();
    for _ in 0..history.len() {
        changes.push(told(&next(&mut first).await.unwrap()));
    }
    for (done, (from, ..)) in changes.iter().enumerate() {
        let Some(after) = changes.get(done + 1) else { break };
        let mut watch = given.store.watch(Filter::default(), *from).await.unwrap();
        assert_eq!(&told(&next(&mut watch).await.unwrap()), after, "from {from}");
    }
}

async fn is_expired(store: &dyn Store, from: Version) -> bool {
    let error = match store.watch(Filter::default(), from).await {
        Err(error) => error,
        Ok(mut watch) => match next(&mut watch).await {
            Err(error) => error,
            Ok(_) => return false,
        },
    };
    assert!(matches!(error, StoreError::Expired { from: f, .. } if f == from), "{error}");
    true
}

pub(crate) async fn what_is_forgotten_has_expired(given: &Given) {
    let first = given.store.put(config("a", "0")).await.unwrap();
    for n in 1..=4 {
        given.store.put(config("a", &n.to_string())).await.unwrap();
    }
    given.forget(&config("a", "forgotten")).await;
    assert!(is_expired(&*given.store, version(&first)).await);
    let listing = given.store.list(Filter::default()).await.unwrap();
    assert!(is_expired(&*given.store, listing.version + 1000).await, "a version of another store");
    let mut watch = given.store.watch(Filter::default(), listing.version).await.unwrap();
    let new = given.store.put(config("b", "1")).await.unwrap();
    assert_eq!(told(&next(&mut watch).await.unwrap()).2, new);
}

pub(crate) async fn a_filter_lets_through_what_it_names(given: &Given) {
    let start = given.store.list(Filter::default()).await.unwrap().version;
    let filter = Filter { namespace: Some("a".into()), ..Filter::kinds(&[Kind::ConfigMap]) };
    let mut watch = given.store.watch(filter, start).await.unwrap();
    let both = Filter { namespace: Some("a".into()), ..Filter::kinds(&[Kind::ConfigMap, Kind::Service]) };
    let mut of_both = given.store.watch(both, start).await.unwrap();
    for n in 0..300 {
        given.store.put(config_in("b", "x", &n.to_string())).await.unwrap();
    }
    given.store.put(Object::new("a", "s", Service::default())).await.unwrap();
    given.store.put(config_in("aa", "x", "1")).await.unwrap();
    let wanted = given.store.put(config_in("a", "x", "1")).await.unwrap();
    assert_eq!(told(&next(&mut watch).await.unwrap()).2, wanted);
    assert_eq!(told(&next(&mut of_both).await.unwrap()).2.meta.name, "s");
    assert_eq!(told(&next(&mut of_both).await.unwrap()).2, wanted);
}

pub(crate) async fn many_watchers_see_the_same(given: &Given) {
    const WATCHERS: usize = 100;
    const CHANGES: usize = 50;
    let start = given.store.list(Filter::default()).await.unwrap().version;
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..WATCHERS {
        let mut watch = given.store.watch(Filter::default(), start).await.unwrap();
        tasks.spawn(async move {
            let mut seen = Vec::new();
            for _ in 0..CHANGES {
                seen.push(told(&next(&mut watch).await.unwrap()).0);
            }
            seen
        });
    }
    let mut wanted = Vec::new();
    for n in 0..CHANGES {
        wanted.push(version(&given.store.put(config("a", &n.to_string())).await.unwrap()));
    }
    while let Some(seen) = tasks.join_next().await {
        assert_eq!(seen.unwrap(), wanted);
    }
}

pub(crate) async fn following_tells_everything(given: &Given) {
    given.store.put(config("before", "1")).await.unwrap();
    let mut follow = Follow::new(Filter::default());
    let writing = {
        let store = given.store.clone();
        tokio::spawn(async move {
            random_writes(&*store, 100).await;
            store.put(config("end", "1")).await.unwrap();
        })
    };
    let mut state: BTreeMap<_, Arc<Object>> = BTreeMap::new();
    loop {
        let wait = Duration::from_secs(60);
        match tokio::time::timeout(wait, follow.next(&*given.store)).await.expect("an update within a minute")
        {
            Update::Put(object) => {
                let end = object.meta.name == "end";
                state.insert(object.resource(), object);
                if end {
                    break;
                }
            }
            Update::Delete(object) => drop(state.remove(&object.resource())),
            Update::Synced => {}
        }
    }
    writing.await.unwrap();
    let listed = given.store.list(Filter::default()).await.unwrap().objects;
    assert_eq!(state.into_values().collect::<Vec<_>>().len(), listed.len());
}
