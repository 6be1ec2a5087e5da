//! Writing and reading.

use std::sync::Arc;

use serde_json::json;
use tulle_api::istio::{Gateway, VirtualService};
use tulle_api::kubernetes::{ConfigMap, Namespace, Service};
use tulle_api::{Kind, Object, OwnerReference};
use tulle_store::{Filter, Precondition, Refusal, Store, StoreError, Version};

use crate::stores::Given;

pub(crate) fn config_in(namespace: &str, name: &str, value: &str) -> Object {
    let data = [("k".to_owned(), value.to_owned())].into();
    Object::new(namespace, name, ConfigMap { data, ..ConfigMap::default() })
}

pub(crate) fn config(name: &str, value: &str) -> Object {
    config_in("default", name, value)
}

pub(crate) fn version(object: &Object) -> Version {
    object.meta.resource_version.parse().unwrap()
}

pub(crate) async fn creating_and_replacing(given: &Given) {
    let store = &given.store;
    assert_eq!(store.get(&config("a", "1").resource()).await.unwrap(), None);
    let first = store.put(config("a", "1")).await.unwrap();
    assert_eq!((first.meta.generation, first.meta.uid.len()), (Some(1), 36));
    assert!(first.meta.creation_timestamp.is_some() && version(&first) > 0);
    assert_eq!(store.get(&first.resource()).await.unwrap(), Some(first.clone()));
    let same = store.put(config("a", "1")).await.unwrap();
    assert_eq!(same, first, "the same again is no change");
    let second = store.put(config("a", "2")).await.unwrap();
    assert_eq!((second.meta.generation, &second.meta.uid), (Some(2), &first.meta.uid));
    assert_eq!(second.meta.creation_timestamp, first.meta.creation_timestamp);
    assert!(version(&second) > version(&first));
    let mut labelled = config("a", "2");
    labelled.meta.labels.insert("x".into(), "y".into());
    let labelled = store.put(labelled).await.unwrap();
    assert_eq!(labelled.meta.generation, Some(2), "labels are no new generation");
    assert!(version(&labelled) > version(&second));
    assert_eq!(store.get(&first.resource()).await.unwrap(), Some(labelled));
}

pub(crate) async fn versions_guard_writes(given: &Given) {
    let store = &given.store;
    let mut fresh = config("a", "1");
    fresh.meta.resource_version = "0".into();
    let created = store.put(fresh.clone()).await.unwrap();
    let again = store.put(fresh).await;
    assert!(
        matches!(again, Err(StoreError::Conflict { expected: 0, found, .. }) if found == version(&created))
    );
    let mut update = Object::clone(&created);
    update.meta.labels.insert("a".into(), "b".into());
    let updated = store.put(update.clone()).await.unwrap();
    let late = store.put(update).await;
    assert!(
        matches!(late, Err(StoreError::Conflict { expected, found, .. })
            if expected == version(&created) && found == version(&updated)),
        "{late:?}"
    );
    store.delete(&created.resource()).await.unwrap().unwrap();
    let gone = store.put(Object::clone(&updated)).await;
    assert!(matches!(gone, Err(StoreError::Conflict { found: 0, .. })), "{gone:?}");
    let mut odd = config("a", "1");
    odd.meta.resource_version = "x".into();
    let odd = store.put(odd).await;
    assert!(matches!(odd, Err(StoreError::Invalid { reason: Refusal::BadVersion, .. })), "{odd:?}");
}

pub(crate) async fn a_status_is_written_apart(given: &Given) {
    let store = &given.store;
    let missing = store.put_status(&config("a", "1").resource(), json!({})).await;
    assert!(matches!(missing, Err(StoreError::NotFound(r)) if r.name == "a"));
    let first = store.put(config("a", "1")).await.unwrap();
    let status = json!({"conditions": [{"type": "Accepted", "status": "True"}]});
    let second = store.put_status(&first.resource(), status.clone()).await.unwrap();
    assert_eq!((second.status.as_ref(), second.meta.generation), (Some(&status), Some(1)));
    assert!(version(&second) > version(&first));
    let same = store.put_status(&first.resource(), status.clone()).await.unwrap();
    assert_eq!(same, second, "the same again is no change");
    let mut other = config("a", "2");
    other.status = Some(json!({"by": "whoever writes the spec"}));
    let third = store.put(other).await.unwrap();
    assert_eq!(third.status.as_ref(), Some(&status), "a put does not touch the status");
    let at = |version| Precondition { version: Some(version), ..Precondition::default() };
    let late = store.put_status_if(&first.resource(), json!({}), at(version(&second))).await;
    assert!(matches!(late, Err(StoreError::Conflict { .. })), "{late:?}");
    let other = Precondition { uid: Some("another".into()), ..Precondition::default() };
    let replaced = store.put_status_if(&first.resource(), json!({}), other).await;
    assert!(matches!(replaced, Err(StoreError::Replaced { found, .. }) if found == first.meta.uid));
    let fits = Precondition { uid: Some(first.meta.uid.clone()), version: Some(version(&third)) };
    let fourth = store.put_status_if(&first.resource(), json!({}), fits).await.unwrap();
    assert_eq!(fourth.status, Some(json!({})));
}

pub(crate) async fn deleting_needs_the_right_one(given: &Given) {
    let store = &given.store;
    let resource = config("a", "1").resource();
    assert_eq!(store.delete(&resource).await.unwrap(), None);
    let first = store.put(config("a", "1")).await.unwrap();
    let uid = |uid: &str| Precondition { uid: Some(uid.to_owned()), ..Precondition::default() };
    let replaced = store.delete_if(&resource, uid("another")).await;
    assert!(matches!(&replaced, Err(StoreError::Replaced { found, .. }) if *found == first.meta.uid));
    let at = |version| Precondition { version: Some(version), ..Precondition::default() };
    let late = store.delete_if(&resource, at(version(&first) + 7)).await;
    assert!(matches!(late, Err(StoreError::Conflict { found, .. }) if found == version(&first)));
    assert_eq!(store.delete_if(&resource, uid(&first.meta.uid)).await.unwrap(), Some(first.clone()));
    assert_eq!(store.get(&resource).await.unwrap(), None);
    let second = store.put(config("a", "1")).await.unwrap();
    assert_ne!(second.meta.uid, first.meta.uid);
    assert!(version(&second) > version(&first) + 1, "the deletion has a version of its own");
    assert_eq!(store.delete_if(&resource, at(version(&second))).await.unwrap(), Some(second));
}

pub(crate) async fn metadata_comes_back_as_it_was(given: &Given) {
    let mut object = config("a", "ünïcödé \u{1F600} \"\\\n");
    object.meta.finalizers = vec!["example.com/wait".into()];
    object.meta.annotations.insert("example.com/long".into(), "x".repeat(10_000));
    object.meta.managed_fields = vec![json!({"manager": "m", "fieldsV1": {"f:data": {}}})];
    object.meta.owner_references = vec![OwnerReference {
        api_version: "v1".into(),
        kind: "Pod".into(),
        name: "p".into(),
        uid: "u".into(),
        controller: Some(true),
        block_owner_deletion: None,
    }];
    object.status = Some(json!({"n": 1}));
    let stored = given.store.put(object.clone()).await.unwrap();
    let read = given.store.get(&object.resource()).await.unwrap().unwrap();
    assert_eq!(read, stored);
    let meta = (
        &read.meta.finalizers,
        &read.meta.annotations,
        &read.meta.managed_fields,
        &read.meta.owner_references,
    );
    let wanted = (
        &object.meta.finalizers,
        &object.meta.annotations,
        &object.meta.managed_fields,
        &object.meta.owner_references,
    );
    assert_eq!(meta, wanted);
    assert_eq!((&read.spec, &read.status), (&object.spec, &object.status));
}

pub(crate) async fn who_was_asked_to_go_does_not_come_back(given: &Given) {
    let store = &given.store;
    let first = store.put(config("a", "1")).await.unwrap();
    let mut going = Object::clone(&first);
    going.meta.finalizers = vec!["example.com/wait".into()];
    going.meta.deletion_timestamp = first.meta.creation_timestamp.clone();
    let going = store.put(going).await.unwrap();
    let mut without = config("a", "2");
    without.meta.finalizers = going.meta.finalizers.clone();
    let kept = store.put(without).await.unwrap();
    assert_eq!(kept.meta.deletion_timestamp, going.meta.deletion_timestamp);
}

pub(crate) async fn same_names_of_other_kinds_are_other_objects(given: &Given) {
    let store = &given.store;
    let objects = [
        Object::new("", "x", Namespace::default()),
        Object::new("x", "x", Service::default()),
        Object::new("x", "x", VirtualService::default()),
        Object::new("x", "x", Gateway::default()),
        config_in("x", "x", "1"),
        config_in("xx", "x", "1"),
        config_in("x", "xx", "1"),
    ];
    for object in &objects {
        store.put(object.clone()).await.unwrap();
    }
    for object in &objects {
        let read = store.get(&object.resource()).await.unwrap().unwrap();
        assert_eq!((read.resource(), &read.spec), (object.resource(), &object.spec));
    }
    assert_eq!(store.list(Filter::default()).await.unwrap().objects.len(), objects.len());
    store.delete(&objects[1].resource()).await.unwrap().unwrap();
    assert_eq!(store.list(Filter::default()).await.unwrap().objects.len(), objects.len() - 1);
}

pub(crate) async fn names_that_cannot_be_keys_are_refused(given: &Given) {
    for name in ["", "a/b", "a\0b", "a\nb"] {
        let refused = given.store.put(config(name, "1")).await;
        assert!(refused.is_err(), "{name:?}: {refused:?}");
    }
    assert!(given.store.put(config_in("a/b", "c", "1")).await.is_err());
    assert!(given.store.list(Filter::default()).await.unwrap().objects.is_empty());
}

pub(crate) async fn lists_have_an_order_and_a_filter(given: &Given) {
    let store = &given.store;
    for (namespace, name) in [("b", "2"), ("a", "2"), ("b", "1"), ("a", "1"), ("aa", "0")] {
        store.put(config_in(namespace, name, "x")).await.unwrap();
    }
    store.put(Object::new("a", "s", Service::default())).await.unwrap();
    let names = |objects: &[Arc<Object>]| -> Vec<String> {
        objects.iter().map(|o| format!("{}/{}", o.meta.namespace, o.meta.name)).collect()
    };
    let all = store.list(Filter::kinds(&[Kind::ConfigMap])).await.unwrap();
    assert_eq!(names(&all.objects), ["a/1", "a/2", "aa/0", "b/1", "b/2"]);
    assert!(all.objects.iter().all(|o| version(o) <= all.version));
    let of_a = Filter { namespace: Some("a".into()), ..Filter::kinds(&[Kind::ConfigMap]) };
    assert_eq!(names(&store.list(of_a).await.unwrap().objects), ["a/1", "a/2"]);
    let everything_of_a = Filter { namespace: Some("a".into()), ..Filter::default() };
    assert_eq!(store.list(everything_of_a).await.unwrap().objects.len(), 3);
    let two = store.list(Filter::kinds(&[Kind::ConfigMap, Kind::Service])).await.unwrap();
    assert_eq!(two.objects.len(), 6);
    assert!(two.objects.is_sorted_by_key(|o| (o.kind(), o.meta.namespace.clone(), o.meta.name.clone())));
}

pub(crate) async fn of_writers_at_the_same_time_one_wins(given: &Given) {
    const TASKS: usize = 8;
    const EACH: usize = 5;
    given.store.put(config("counter", "0")).await.unwrap();
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..TASKS {
        let store: Arc<dyn Store> = given.store.clone();
        tasks.spawn(async move {
            let resource = config("counter", "0").resource();
            for _ in 0..EACH {
                loop {
                    let read = store.get(&resource).await.unwrap().unwrap();
                    let count: usize = read.get::<ConfigMap>().unwrap().data["k"].parse().unwrap();
                    let mut next = config("counter", &(count + 1).to_string());
                    next.meta.resource_version.clone_from(&read.meta.resource_version);
                    match store.put(next).await {
                        Ok(_) => break,
                        Err(StoreError::Conflict { .. }) => {}
                        Err(error) => panic!("{error}"),
                    }
                }
            }
        });
    }
    while let Some(task) = tasks.join_next().await {
        task.unwrap();
    }
    let read = given.store.get(&config("counter", "0").resource()).await.unwrap().unwrap();
    assert_eq!(read.get::<ConfigMap>().unwrap().data["k"], (TASKS * EACH).to_string());
}

pub(crate) async fn ten_thousand_objects(given: &Given) {
    const COUNT: usize = 10_000;
    const AT_A_TIME: usize = 100;
    let began = std::time::Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for lane in 0..AT_A_TIME {
        let store: Arc<dyn Store> = given.store.clone();
        tasks.spawn(async move {
            for n in (lane..COUNT).step_by(AT_A_TIME) {
                store.put(config_in(&format!("ns{}", n % 10), &format!("n{n:05}"), "x")).await.unwrap();
            }
        });
    }
    while let Some(task) = tasks.join_next().await {
        task.unwrap();
    }
    let (written, began) = (began.elapsed(), std::time::Instant::now());
    let listing = given.store.list(Filter::kinds(&[Kind::ConfigMap])).await.unwrap();
    eprintln!(
        "{COUNT} objects: written in {written:?} by {AT_A_TIME} writers, listed in {:?}",
        began.elapsed()
    );
    assert_eq!(listing.objects.len(), COUNT);
    assert!(listing.objects.is_sorted_by_key(|o| (o.meta.namespace.clone(), o.meta.name.clone())));
    let mut versions: Vec<Version> = listing.objects.iter().map(|o| version(o)).collect();
    versions.sort_unstable();
    versions.dedup();
    assert_eq!(versions.len(), COUNT, "every write has a version of its own");
    assert!(versions.last().unwrap() <= &listing.version);
    let of_one = Filter { namespace: Some("ns3".into()), ..Filter::default() };
    assert_eq!(given.store.list(of_one).await.unwrap().objects.len(), COUNT / 10);
}
