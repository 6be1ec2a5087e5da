//! What does not fit: bounded memory and disk, and counts of what was lost.

use tulle_dashboard::store::{
    Buckets, Description, Kind, Limits, Matcher, Refusal, Selection, Store, Test, Tick, Value, Wanted,
    check_segment,
};

const BEGIN: i64 = 1_700_000_000_000;

fn counter<'a>(labels: &'a [(&'a str, &'a str)]) -> Description<'a> {
    Description { name: "c", kind: Kind::Counter, labels, bounds: &[] }
}

fn count(store: &Store) -> usize {
    let wanted = Wanted {
        matchers: &[],
        from: 0,
        to: i64::MAX,
        samples: false,
        max_series: 1_000_000,
        max_samples: 0,
    };
    store.select(&wanted).expect("few").len()
}

#[test]
fn idle_series_make_room_and_busy_ones_do_not() {
    let store = Store::new(Limits { series: 3, ..Limits::default() });
    let source = store.source("a");
    let make = |id: &str| store.define(source, &counter(&[("id", id)]));
    let first = [make("1"), make("2"), make("3")].map(|s| s.expect("room"));
    let all: Vec<_> = first.iter().map(|s| (*s, Value::Number(1.0))).collect();
    store.tick(source, &Tick { time: BEGIN, changed: &all }).expect("first");
    assert_eq!(make("4"), Err(Refusal::Full));
    let later = BEGIN + 16 * 60_000;
    store
        .tick(
            source,
            &Tick { time: later, changed: &[(first[1], Value::Number(2.0)), (first[2], Value::Number(2.0))] },
        )
        .expect("in order");
    store.sweep(later);
    let fourth = make("4").expect("the first is idle");
    let changed = [(first[0], Value::Number(2.0)), (fourth, Value::Number(1.0))];
    assert_eq!(store.tick(source, &Tick { time: later + 1, changed: &changed }), Err(Refusal::Evicted));
    let losses = store.stats().losses;
    assert_eq!((losses.full, losses.evicted, losses.values), (1, 1, 1));
    assert_eq!(count(&store), 3);
}

#[test]
fn hostile_labels_are_refused_and_counted() {
    let store = Store::new(Limits::default());
    let source = store.source("a");
    let long = "x".repeat(1 << 20);
    for labels in [
        &[("a", long.as_str())][..],
        &[(long.as_str(), "a")],
        &[("a", "1"), ("a", "2")],
        &[("__name__", "x")],
        &[("le", "1")],
        &[("a", "1"); 65],
    ] {
        assert_eq!(store.define(source, &counter(labels)), Err(Refusal::Labels));
    }
    let bounds = Description { name: "h", kind: Kind::Histogram, labels: &[], bounds: &[1.0, 1.0] };
    assert_eq!(store.define(source, &bounds), Err(Refusal::Bounds));
    assert_eq!(store.stats().losses.refused, 7);
    assert!(store.stats().memory < 10_000);
}

#[test]
fn two_that_live_do_not_share_a_series_and_an_heir_gets_it() {
    let store = Store::new(Limits::default());
    let (a, b) = (store.source("a"), store.source("b"));
    let series = store.define(a, &counter(&[])).expect("room");
    store.tick(a, &Tick { time: BEGIN, changed: &[(series, Value::Number(1.0))] }).expect("first");
    assert_eq!(store.define(b, &counter(&[])), Err(Refusal::Taken));
    store.sweep(BEGIN + 60_000);
    let heir = store.define(b, &counter(&[])).expect("a is gone");
    store.tick(b, &Tick { time: BEGIN + 61_000, changed: &[(heir, Value::Number(5.0))] }).expect("in order");
    assert_eq!(
        store.tick(a, &Tick { time: BEGIN + 62_000, changed: &[(series, Value::Number(2.0))] }),
        Err(Refusal::Evicted)
    );
}

/// Many busy histograms against little memory: it holds, what is young is there, and the loss is counted.
#[test]
fn memory_is_bounded() {
    let limit = 3 << 20;
    let store = Store::new(Limits { memory: limit, ..Limits::default() });
    let source = store.source("a");
    let bounds: Vec<f64> = (0..19).map(f64::from).collect();
    let series: Vec<_> = (0..300)
        .map(|i| {
            let id = i.to_string();
            let labels = [("id", id.as_str())];
            let described =
                Description { name: "h", kind: Kind::Histogram, labels: &labels, bounds: &bounds };
            store.define(source, &described).expect("room")
        })
        .collect();
    let mut counts = vec![0_u64; 20];
    for i in 0..1_500_i64 {
        for (at, count) in counts.iter_mut().enumerate() {
            *count += 97 * (at as u64 + i.unsigned_abs() % 7);
        }
        let changed: Vec<_> = series
            .iter()
            .map(|s| (*s, Value::Histogram(Buckets { counts: counts.clone().into(), sum: i as f64 })))
            .collect();
        // Those that were evicted are missed from then on.
        let _ = store.tick(source, &Tick { time: BEGIN + i * 5_000, changed: &changed });
        store.sweep(BEGIN + i * 5_000);
        assert!(store.stats().memory <= limit, "{:?}", store.stats());
    }
    let stats = store.stats();
    assert!(stats.losses.chunks > 0, "{stats:?}");
    let wanted = Wanted {
        matchers: &[],
        from: BEGIN + 1_499 * 5_000,
        to: i64::MAX,
        samples: true,
        max_series: 10_000,
        max_samples: 1_000_000,
    };
    assert!(!store.select(&wanted).expect("few").is_empty());
}

#[test]
fn disk_is_bounded_and_damage_costs_what_is_behind_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let limits = Limits { disk: 40_000, ..Limits::default() };
    let open = |now| Store::open(limits.clone(), folder.path().to_owned(), now).expect("a folder");
    let (store, _) = open(BEGIN);
    let source = store.source("a");
    let series: Vec<_> =
        (0..20).map(|i| store.define(source, &counter(&[("id", &i.to_string())])).expect("room")).collect();
    let mut time = BEGIN;
    for i in 0..1_000 {
        time += 5_000;
        let changed: Vec<_> = series.iter().map(|s| (*s, Value::Number(f64::from(i) * 1.1))).collect();
        store.tick(source, &Tick { time, changed: &changed }).expect("in order");
        store.sweep(time);
        let size: u64 = std::fs::read_dir(folder.path())
            .expect("a folder")
            .map(|f| f.and_then(|f| f.metadata()).map_or(0, |m| m.len()))
            .sum();
        assert!(size <= 41_000, "{size}");
    }
    assert!(store.stats().losses.records > 0);
    drop(store);

    // One bit in the newest file, and one that is none of ours.
    let mut files: Vec<_> =
        std::fs::read_dir(folder.path()).expect("a folder").map(|f| f.expect("a file").path()).collect();
    files.sort_by_key(|p| std::fs::metadata(p).and_then(|m| m.modified()).ok());
    let newest = files.iter().rfind(|p| p.to_string_lossy().contains("full-")).expect("a file of ticks");
    let mut bytes = std::fs::read(newest).expect("readable");
    let last = bytes.len() - 3;
    bytes[last] ^= 1;
    assert!(check_segment(&bytes).is_some());
    std::fs::write(newest, bytes).expect("writable");
    std::fs::write(folder.path().join("full-1-999999.seg"), b"not ours").expect("writable");
    let (store, mut messages) = open(time);
    messages.sort();
    assert_eq!(messages.len(), 2, "{messages:?}");
    assert!(messages[0].contains("none of ours") && messages[1].contains("checksum"), "{messages:?}");
    assert_eq!(count(&store), 20);
    let told = store.sources();
    assert_eq!(told[0].1, time - 5_000, "all but the last tick is there");
}

#[test]
fn what_is_asked_for_is_bounded() {
    let store = Store::new(Limits::default());
    let source = store.source("a");
    for i in 0..10 {
        let series = store.define(source, &counter(&[("id", &i.to_string())])).expect("room");
        for t in 0..10 {
            let tick = Tick { time: BEGIN + i * 100 + t, changed: &[(series, Value::Number(1.0))] };
            store.tick(source, &tick).expect("in order");
        }
    }
    let matchers = [Matcher {
        label: "id".into(),
        test: Test::Matches(regex::Regex::new("^(?:[0-4])$").expect("valid")),
    }];
    let mut wanted = Wanted {
        matchers: &matchers,
        from: 0,
        to: i64::MAX,
        samples: true,
        max_series: 5,
        max_samples: 1_000,
    };
    assert_eq!(store.select(&wanted).expect("five").len(), 5);
    wanted.max_series = 4;
    assert_eq!(store.select(&wanted).err(), Some(Selection::Series(4)));
    (wanted.max_series, wanted.max_samples) = (5, 20);
    assert_eq!(store.select(&wanted).err(), Some(Selection::Samples(20)));
}
