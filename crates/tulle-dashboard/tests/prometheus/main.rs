//! The same data in a stock Prometheus and in our store: the same answers to `queries.txt` and to queries made at random.
//!
//! Skipped without `prometheus` and `promtool` in PATH; an error where CI=true. `SEED=N` repeats a run, `QUERIES=N` makes it longer.

mod api;
mod data;
mod peer;
mod random;

use std::collections::BTreeMap;

use data::{END, START};
use peer::Peer;
use serde_json::Value as Json;
use tulle_dashboard::query::{Outcome, QueryLimits, Spelled, instant, range};
use tulle_dashboard::store::Store;

/// What a query gives, comparable: series by labels, each with times and values.
#[derive(Debug)]
enum Answer {
    Error,
    Series { ordered: Vec<Labels>, values: BTreeMap<Labels, Vec<(i64, f64)>> },
}

type Labels = Vec<(String, String)>;

#[test]
fn prometheus_and_the_store_agree() {
    let Some(peer) = Peer::start() else { return };
    let store = data::store();
    let texts = include_str!("queries.txt");
    let written: Vec<String> =
        texts.lines().filter(|l| !l.is_empty() && !l.starts_with('#')).map(str::to_owned).collect();
    let seed = std::env::var("SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(7);
    let many = std::env::var("QUERIES").ok().and_then(|s| s.parse().ok()).unwrap_or(400);
    let made = random::queries(seed, many);
    let (mut failures, mut answered) = (Vec::new(), 0);
    for query in written.iter().chain(&made) {
        let ordered = query.starts_with("sort") || query.starts_with("topk") || query.starts_with("bottomk");
        let pairs = [
            (ours_instant(&store, query), theirs(&peer.instant(query, END)), ordered),
            (ours_range(&store, query), theirs(&peer.range(query, START + 300_000, END, 17_000)), false),
        ];
        for (ours, theirs, ordered) in pairs {
            answered += usize::from(matches!(&theirs, Answer::Series { values, .. } if !values.is_empty()));
            if let Some(difference) = difference(&ours, &theirs, ordered) {
                failures.push(format!("{query}\n    {difference}"));
            }
        }
    }
    assert!(failures.is_empty(), "seed {seed}: {} differences:\n{}", failures.len(), failures.join("\n"));
    let asked = 2 * (written.len() + made.len());
    assert!(answered * 10 > asked * 7, "only {answered} of {asked} answers have series");
}

fn ours_instant(store: &Store, query: &str) -> Answer {
    from_outcome(instant(store, query, END, &QueryLimits::default()))
}

fn ours_range(store: &Store, query: &str) -> Answer {
    from_outcome(range(store, query, (START + 300_000, END, 17_000), &QueryLimits::default()))
}

fn from_outcome(outcome: Result<Outcome, tulle_dashboard::query::QueryError>) -> Answer {
    let all: Vec<(Spelled, Vec<(i64, f64)>)> = match outcome {
        Err(_) => return Answer::Error,
        Ok(Outcome::Scalar(time, value)) => vec![(Vec::new(), vec![(time, value)])],
        Ok(Outcome::Text(..)) => Vec::new(),
        Ok(Outcome::Vector(time, all)) => all.into_iter().map(|(l, v)| (l, vec![(time, v)])).collect(),
        Ok(Outcome::Matrix(all)) => all,
    };
    Answer::Series {
        ordered: all.iter().map(|(l, _)| l.clone()).collect(),
        values: all.into_iter().collect(),
    }
}

fn theirs(answer: &Json) -> Answer {
    if answer["status"] != "success" {
        return Answer::Error;
    }
    let result = &answer["data"]["result"];
    let pair = |pair: &Json| {
        #[allow(clippy::cast_possible_truncation, reason = "milliseconds of this century")]
        let time = (pair[0].as_f64().expect("a time") * 1000.0).round() as i64;
        let text = pair[1].as_str().expect("a value");
        let value = match text {
            "+Inf" => f64::INFINITY,
            "-Inf" => f64::NEG_INFINITY,
            text => text.parse().expect("a number"),
        };
        (time, value)
    };
    if answer["data"]["resultType"] == "scalar" {
        return Answer::Series { ordered: vec![vec![]], values: [(vec![], vec![pair(result)])].into() };
    }
    let all: Vec<(Labels, Vec<(i64, f64)>)> = result
        .as_array()
        .expect("a list")
        .iter()
        .map(|series| {
            let labels = series["metric"].as_object().expect("labels");
            let labels =
                labels.iter().map(|(n, v)| (n.clone(), v.as_str().unwrap_or("").to_owned())).collect();
            let values = match series.get("values") {
                Some(values) => values.as_array().expect("a list").iter().map(pair).collect(),
                None => vec![pair(&series["value"])],
            };
            (labels, values)
        })
        .collect();
    let mut all = all;
    all.iter_mut().for_each(|(labels, _)| labels.sort());
    Answer::Series {
        ordered: all.iter().map(|(l, _)| l.clone()).collect(),
        values: all.into_iter().collect(),
    }
}

fn difference(ours: &Answer, theirs: &Answer, in_order: bool) -> Option<String> {
    let (ours, theirs) = match (ours, theirs) {
        (Answer::Error, Answer::Error) => return None,
        (Answer::Error, Answer::Series { values, .. }) => {
            return Some(format!("an error, theirs: {} series", values.len()));
        }
        (Answer::Series { values, .. }, Answer::Error) => {
            return Some(format!("{} series, theirs: an error", values.len()));
        }
        (ours, theirs) => (ours, theirs),
    };
    let (Answer::Series { ordered: a, values: ours }, Answer::Series { ordered: b, values: theirs }) =
        (ours, theirs)
    else {
        return None;
    };
    if in_order && a != b {
        return Some(format!("another order: {a:?} for {b:?}"));
    }
    if !ours.keys().eq(theirs.keys()) {
        let only: Vec<_> = ours.keys().filter(|k| !theirs.contains_key(*k)).take(2).collect();
        let lost: Vec<_> = theirs.keys().filter(|k| !ours.contains_key(*k)).take(2).collect();
        return Some(format!(
            "{} series for {}: not theirs {only:?}, not ours {lost:?}",
            ours.len(),
            theirs.len()
        ));
    }
    for (labels, ours) in ours {
        let theirs = &theirs[labels];
        let same =
            ours.len() == theirs.len() && ours.iter().zip(theirs).all(|(a, b)| a.0 == b.0 && close(a.1, b.1));
        if !same {
            let at = ours.iter().zip(theirs).position(|(a, b)| a.0 != b.0 || !close(a.1, b.1));
            let some = |all: &[(i64, f64)]| {
                let from = at.unwrap_or(0);
                format!("{:?}", &all[from.min(all.len())..(from + 2).min(all.len())])
            };
            return Some(format!(
                "{labels:?}: {} values {} for {} {}",
                ours.len(),
                some(ours),
                theirs.len(),
                some(theirs)
            ));
        }
    }
    None
}

fn close(a: f64, b: f64) -> bool {
    a == b || (a.is_nan() && b.is_nan()) || (a - b).abs() <= 1e-9 * a.abs().max(b.abs()).max(1e-3)
}
