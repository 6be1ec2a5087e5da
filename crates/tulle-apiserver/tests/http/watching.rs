//! Watches: what they tell, from when, and how they end.

use std::time::Duration;

use serde_json::json;
use tulle_apiserver::Limits;
use tulle_store::Memory;

use crate::support::{Api, event};

const PATH: &str = "/api/v1/namespaces/shop/configmaps";

#[test]
fn changes_are_told_in_order() {
    let api = Api::start();
    let made = api.config_map("a", &json!({}), &json!({"k": "1"}));
    let version = made["metadata"]["resourceVersion"].as_str().unwrap().to_owned();
    let mut from_there = api.watch(&format!("{PATH}?watch=true&resourceVersion={version}"));
    let mut everything = api.watch(&format!("{PATH}?watch=1"));
    assert_eq!(everything.event(), event("ADDED", "a"));
    api.patch(&format!("{PATH}/a"), "merge", &json!({"data": {"k": "2"}})).ok();
    api.config_map("b", &json!({}), &json!({}));
    api.delete(&format!("{PATH}/a")).ok();
    for watch in [&mut from_there, &mut everything] {
        assert_eq!(watch.event(), event("MODIFIED", "a"));
        assert_eq!(watch.event(), event("ADDED", "b"));
        let gone = watch.next().unwrap();
        assert_eq!(gone["type"], "DELETED");
        // The version of the deletion, so that a watch can go on from there.
        assert!(gone["object"]["metadata"]["resourceVersion"].as_str().unwrap().parse::<u64>().unwrap() >= 4);
    }
}

#[test]
fn objects_come_into_view_and_go_out_of_it() {
    let api = Api::start();
    api.config_map("a", &json!({"app": "x"}), &json!({}));
    let mut watch = api.watch(&format!("{PATH}?watch=1&labelSelector=app%3Dy"));
    api.patch(&format!("{PATH}/a"), "merge", &json!({"metadata": {"labels": {"app": "y"}}})).ok();
    assert_eq!(watch.event(), event("ADDED", "a"));
    api.patch(&format!("{PATH}/a"), "merge", &json!({"data": {"k": "2"}})).ok();
    assert_eq!(watch.event(), event("MODIFIED", "a"));
    api.patch(&format!("{PATH}/a"), "merge", &json!({"metadata": {"labels": {"app": "x"}}})).ok();
    assert_eq!(watch.event(), event("DELETED", "a"));
    // Elsewhere is out of view as well.
    api.send(
        "POST",
        "/api/v1/namespaces/other/configmaps",
        &json!({"metadata": {"name": "c", "labels": {"app": "y"}}}),
    )
    .ok();
    api.config_map("b", &json!({"app": "y"}), &json!({}));
    assert_eq!(watch.event(), event("ADDED", "b"));
}

#[test]
fn the_end_of_the_first_list_is_marked() {
    let api = Api::start();
    api.config_map("a", &json!({}), &json!({}));
    let query = "watch=1&sendInitialEvents=true&allowWatchBookmarks=true";
    assert_eq!(api.get(&format!("{PATH}?{query}")).code, 400);
    let mut watch = api.watch(&format!("{PATH}?{query}&resourceVersionMatch=NotOlderThan"));
    assert_eq!(watch.event(), event("ADDED", "a"));
    let mark = watch.next().unwrap();
    assert_eq!(mark["type"], "BOOKMARK");
    assert_eq!(mark["object"]["metadata"]["annotations"]["k8s.io/initial-events-end"], "true");
    assert_eq!(mark["object"]["metadata"]["resourceVersion"], "1");
}

#[test]
fn bookmarks_tell_how_far_a_quiet_watch_is() {
    let limits = Limits { bookmarks: Duration::from_millis(20), ..Limits::default() };
    let api = Api::with(Memory::new(), limits);
    api.config_map("a", &json!({}), &json!({}));
    let mut watch = api.watch("/api/v1/secrets?watch=1&allowWatchBookmarks=1&resourceVersion=1");
    api.config_map("b", &json!({}), &json!({}));
    loop {
        let mark = watch.next().unwrap();
        assert_eq!((&mark["type"], &mark["object"]["kind"]), (&json!("BOOKMARK"), &json!("Secret")));
        if mark["object"]["metadata"]["resourceVersion"] == "2" {
            return;
        }
    }
}

#[test]
fn a_watch_ends_when_it_was_asked_to() {
    let api = Api::start();
    let mut watch = api.watch(&format!("{PATH}?watch=1&timeoutSeconds=1"));
    assert!(watch.next().is_none());
}

#[test]
fn versions_that_are_not_known_are_gone() {
    let store = Memory::with(std::time::SystemTime::now, 2);
    let object = |n: i32| {
        let data = [("k".to_owned(), n.to_string())].into();
        tulle_api::Object::new("shop", "a", tulle_api::kubernetes::ConfigMap { data, ..Default::default() })
    };
    for n in 0..5 {
        store.put_now(object(n)).unwrap();
    }
    let api = Api::with(store, Limits::default());
    // Until the store was read.
    while api.get("/readyz").code != 200 {}
    for version in ["1", "99"] {
        let answer = api.get(&format!("{PATH}?watch=1&resourceVersion={version}"));
        // An event, as in Kubernetes: clients begin anew after it.
        assert_eq!((answer.code, &answer.body["type"]), (200, &json!("ERROR")));
        let status = &answer.body["object"];
        assert_eq!((&status["code"], &status["reason"]), (&json!(410), &json!("Expired")));
    }
    assert_eq!(api.get(&format!("{PATH}?watch=1&resourceVersion=5&timeoutSeconds=1")).code, 200);
}

#[test]
fn too_many_watches_are_refused() {
    let api = Api::with(Memory::new(), Limits { watches: 1, ..Limits::default() });
    let first = api.watch(&format!("{PATH}?watch=1"));
    let second = api.get(&format!("{PATH}?watch=1"));
    assert_eq!((second.code, second.reason()), (429, "TooManyRequests".into()));
    assert_eq!(second.headers["retry-after"], "5");
    drop(first);
    // The place is free again once the server saw that.
    while api.get(&format!("{PATH}?watch=1&timeoutSeconds=1")).code != 200 {}
}

#[test]
fn a_watcher_that_does_not_read_is_left_behind() {
    let limits = Limits { watcher_patience: Duration::from_millis(50), watches: 1, ..Limits::default() };
    let api = Api::with(Memory::new(), limits);
    let idle = api.watch(&format!("{PATH}?watch=1"));
    let big = "x".repeat(100_000);
    // Far more than the kernel holds for a socket.
    for n in 0..200 {
        let object = tulle_api::Object::new(
            "shop",
            &format!("n{n}"),
            tulle_api::kubernetes::ConfigMap {
                data: [("k".to_owned(), big.clone())].into(),
                ..Default::default()
            },
        );
        api.store.put_now(object).unwrap();
    }
    while api.get("/api/v1/secrets?watch=1&timeoutSeconds=1").code != 200 {}
    drop(idle);
}
