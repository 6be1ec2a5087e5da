//! Prometheus' paths.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use hyper::Method;
use serde_json::json;

use super::params::{BadParam, bad};
use super::write::{list, metric, outcome, success, text};
use super::{Api, Asked, Reply};
use crate::query::{Outcome, QueryError, QueryLimits, Spelled, instant, range, selectors};
use crate::store::{LE, Matcher, NAME, Selected, Selection, Wanted};

/// Why a request is refused.
enum Refused {
    Param(BadParam),
    Query(QueryError),
}

impl From<BadParam> for Refused {
    fn from(error: BadParam) -> Self {
        Self::Param(error)
    }
}

impl From<QueryError> for Refused {
    fn from(error: QueryError) -> Self {
        Self::Query(error)
    }
}

impl From<Selection> for Refused {
    fn from(error: Selection) -> Self {
        Self::Query(error.into())
    }
}

impl From<Refused> for Reply {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Param(error) => Self::error(400, "bad_data", &error.to_string()),
            Refused::Query(error) => {
                let (status, kind) = match &error {
                    QueryError::Parse(_) | QueryError::Range(_) => (400, "bad_data"),
                    QueryError::Evaluate(_) | QueryError::Limit(_) => (422, "execution"),
                    QueryError::Timeout(_) => (503, "timeout"),
                };
                Self::error(status, kind, &error.to_string())
            }
        }
    }
}

pub(super) fn answer(api: &Api, asked: &Asked, now: i64) -> Reply {
    if let Some(reply) = super::tap::answer(api, asked) {
        return reply;
    }
    let Some(path) = asked.path.strip_prefix("/api/v1/") else {
        return match asked.path.as_str() {
            "/api/graph" => graph(api, asked, now).unwrap_or_else(Reply::from),
            "/api" | "/api/" => Reply::text(200, PAGES),
            _ => Reply::text(404, "not found\n"),
        };
    };
    let answered = match path {
        "query" => query(api, asked, now),
        "query_range" => query_range(api, asked),
        "series" => series(api, asked),
        "labels" => label_names(api, asked),
        _ if asked.method != Method::GET => return Reply::text(405, "only GET\n"),
        "metadata" => metadata(api, asked),
        "targets" => Ok(data(&targets(api))),
        "status/buildinfo" => Ok(data(&json!({
            // The semantics that queries follow, for clients that ask.
            "version": "2.42.0",
            "revision": concat!("tulle-", env!("CARGO_PKG_VERSION")),
            "branch": "", "buildUser": "", "buildDate": "", "goVersion": "",
        }))),
        "status/runtimeinfo" => Ok(data(&runtime(api))),
        "status/flags" => Ok(data(&json!({"storage.tsdb.retention.time": "7d"}))),
        "status/config" => Ok(data(&json!({"yaml": "global:\n  scrape_interval: 5s\n"}))),
        "rules" => Ok(data(&json!({"groups": []}))),
        "alerts" => Ok(data(&json!({"alerts": []}))),
        _ => match path.strip_prefix("label/").and_then(|p| p.strip_suffix("/values")) {
            Some(name) => label_values(api, asked, name),
            None => return Reply::error(404, "not_found", &format!("{path} is not served here")),
        },
    };
    answered.unwrap_or_else(Reply::from)
}

const PAGES: &str = "Tulle's telemetry, with Prometheus' query API:\n\
    /api/v1/query?query=...\n/api/v1/query_range?query=...&start=...&end=...&step=...\n\
    /api/v1/series?match[]=...\n/api/v1/labels\n/api/v1/label/NAME/values\n/api/v1/metadata\n/api/v1/targets\n\
    /api/graph?window=1m\n";

fn data(value: &serde_json::Value) -> Reply {
    Reply::json(success(|out| out.extend_from_slice(value.to_string().as_bytes())))
}

/// The limits, with the shorter of our time and the client's.
fn limits(api: &Api, asked: &Asked) -> Result<QueryLimits, Refused> {
    let mut limits = api.limits;
    if let Some(millis) = asked.params.duration("timeout")? {
        limits.time = limits.time.min(Duration::from_millis(u64::try_from(millis).unwrap_or(0)));
    }
    Ok(limits)
}

fn query(api: &Api, asked: &Asked, now: i64) -> Result<Reply, Refused> {
    let time = asked.params.time("time", now)?;
    let text = asked.params.get("query").unwrap_or("");
    let result = instant(&api.store, text, time, &limits(api, asked)?)?;
    Ok(written(&result))
}

/// The live graph; `window` is 1 min by default, `time` now; with `layout=1` where to draw it.
fn graph(api: &Api, asked: &Asked, now: i64) -> Result<Reply, Refused> {
    const MINUTE: i64 = 60_000;
    let time = asked.params.time("time", now)?;
    let window = asked.params.duration("window")?.unwrap_or(MINUTE);
    // Older and longer is coarser than ticks.
    if !(10_000..=10 * MINUTE).contains(&window) {
        return Err(bad("window", "give 10s to 10m".to_owned()).into());
    }
    let graph = crate::graph::graph(&api.store, time, window, api.limits.series, &|_| None)?;
    let mut json = crate::graph::to_json(&graph);
    if asked.params.get("layout").is_some_and(|l| l != "0") {
        json["layout"] = api.places.place(&graph).to_json();
    }
    Ok(Reply::json(json.to_string().into_bytes()))
}

fn query_range(api: &Api, asked: &Asked) -> Result<Reply, Refused> {
    let required = |name: &str| {
        let missing = || bad(name, "cannot parse \"\" to a valid timestamp".to_owned());
        asked.params.get(name).filter(|t| !t.is_empty()).ok_or_else(missing)?;
        asked.params.time(name, 0)
    };
    let (start, end) = (required("start")?, required("end")?);
    let missing = || bad("step", "cannot parse \"\" to a valid duration".to_owned());
    let step = asked.params.duration("step")?.ok_or_else(missing)?;
    let text = asked.params.get("query").unwrap_or("");
    let result = range(&api.store, text, (start, end, step), &limits(api, asked)?)?;
    Ok(written(&result))
}

fn written(result: &Outcome) -> Reply {
    Reply::json(success(|out| outcome(out, result)))
}

/// What `match[]`, `start` and `end` name; everything if there is no `match[]`.
fn matched(api: &Api, asked: &Asked) -> Result<Vec<Selected>, Refused> {
    let (from, to) = (asked.params.time("start", i64::MIN)?, asked.params.time("end", i64::MAX)?);
    let mut lists: Vec<Vec<Matcher>> = Vec::new();
    for text in asked.params.all("match[]") {
        lists.extend(selectors(text).map_err(|e| bad("match[]", e.to_string()))?);
    }
    if lists.is_empty() {
        lists.push(Vec::new());
    }
    let mut all = Vec::new();
    for matchers in &lists {
        all.extend(api.store.select(&Wanted {
            matchers,
            from,
            to,
            samples: false,
            max_series: api.limits.series,
            max_samples: 0,
        })?);
    }
    Ok(all)
}

/// All labels of a series, its name included.
fn labels_of(selected: &Selected) -> Spelled {
    let mut all: Spelled = selected.labels.iter().map(|(n, v)| (n.to_string(), v.to_string())).collect();
    all.push((NAME.to_owned(), selected.name.to_string()));
    all.extend(selected.le.iter().map(|le| (LE.to_owned(), le.to_string())));
    all.sort();
    all
}

fn series(api: &Api, asked: &Asked) -> Result<Reply, Refused> {
    if asked.params.all("match[]").next().is_none() {
        return Err(bad("match[]", "no match[] parameter provided".to_owned()).into());
    }
    let all: BTreeSet<Spelled> = matched(api, asked)?.iter().map(labels_of).collect();
    let all: Vec<Spelled> = all.into_iter().take(most(asked)).collect();
    Ok(Reply::json(success(|out| list(out, &all, metric))))
}

fn label_names(api: &Api, asked: &Asked) -> Result<Reply, Refused> {
    let mut names = BTreeSet::new();
    for selected in matched(api, asked)? {
        names.insert(NAME.to_owned());
        names.extend(selected.labels.iter().map(|(n, _)| n.to_string()));
        names.extend(selected.le.iter().map(|_| LE.to_owned()));
    }
    Ok(texts(names, asked))
}

fn label_values(api: &Api, asked: &Asked, name: &str) -> Result<Reply, Refused> {
    let valid = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        && !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit());
    if !valid {
        return Err(bad("name", format!("invalid label name: {name:?}")).into());
    }
    let mut values = BTreeSet::new();
    for selected in matched(api, asked)? {
        match name {
            NAME => drop(values.insert(selected.name.to_string())),
            LE if selected.le.is_some() => values.extend(selected.le.iter().map(ToString::to_string)),
            _ => values
                .extend(selected.labels.iter().filter(|(n, _)| &**n == name).map(|(_, v)| v.to_string())),
        }
    }
    Ok(texts(values, asked))
}

fn texts(all: BTreeSet<String>, asked: &Asked) -> Reply {
    let all: Vec<String> = all.into_iter().take(most(asked)).collect();
    Reply::json(success(|out| list(out, &all, |out, one| text(out, one))))
}

/// The parameter `limit`: that many; 0 or none: all.
fn most(asked: &Asked) -> usize {
    asked.params.get("limit").and_then(|l| l.parse().ok()).filter(|l| *l > 0).unwrap_or(usize::MAX)
}

fn metadata(api: &Api, asked: &Asked) -> Result<Reply, Refused> {
    let wanted = asked.params.get("metric").filter(|m| !m.is_empty());
    let all: BTreeMap<String, serde_json::Value> = api
        .store
        .metadata()
        .into_iter()
        .filter(|meta| wanted.is_none_or(|w| w == meta.name))
        .take(most(asked))
        .map(|meta| (meta.name, json!([{"type": meta.kind.as_str(), "help": "", "unit": ""}])))
        .collect();
    Ok(data(&json!(all)))
}

fn targets(api: &Api) -> serde_json::Value {
    let active: Vec<_> = api
        .store
        .sources()
        .into_iter()
        .filter(|(_, last, live)| *live && *last > 0)
        .map(|(name, last, _)| {
            let at = jiff::Timestamp::from_millisecond(last).unwrap_or_default().to_string();
            json!({
                "discoveredLabels": {}, "labels": {"job": "tulle", "instance": name}, "scrapePool": "tulle",
                "scrapeUrl": "", "globalUrl": "", "lastError": "", "lastScrape": at, "lastScrapeDuration": 0,
                "health": "up", "scrapeInterval": "5s", "scrapeTimeout": "5s",
            })
        })
        .collect();
    json!({"activeTargets": active, "droppedTargets": []})
}

pub(super) fn runtime(api: &Api) -> serde_json::Value {
    let stats = api.store.stats();
    let losses = stats.losses;
    json!({
        "storageRetention": "7d",
        "timeSeriesCount": stats.series,
        "reloadConfigSuccess": true,
        "tulle": {
            "sources": stats.sources, "memoryBytes": stats.memory, "diskBytes": stats.disk,
            "lost": {
                "full": losses.full, "refused": losses.refused, "evicted": losses.evicted, "values": losses.values,
                "cut": losses.cut, "chunks": losses.chunks, "records": losses.records,
            },
        },
    })
}
