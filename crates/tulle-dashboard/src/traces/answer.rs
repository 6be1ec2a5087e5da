//! `/api/traces` and `/api/requests`.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::records::PARAMETERS;
use super::view::{extent, is_error, summary, whole};
use super::{Filter, Trace, Traces, jaeger};
use crate::http::Params;

/// Most traces and records of an answer.
const MOST: usize = 1_000;

/// What is answered.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// This.
    Found(Value),
    /// There is none.
    Missing(String),
    /// A parameter is wrong.
    Wrong(String),
}

/// Answers what is asked below `/api/`; `None` if it is asked elsewhere.
pub fn answer(traces: &Traces, path: &str, params: &Params) -> Option<Answer> {
    let found = match path {
        "/api/traces" => list(traces, params),
        "/api/requests" => requests(traces, params),
        _ => {
            let (id, jaeger) = match path.strip_prefix("/jaeger/api/traces/") {
                Some(id) => (id, true),
                None => (path.strip_prefix("/api/traces/")?, false),
            };
            one(traces, id, jaeger, params)
        }
    };
    Some(found.unwrap_or_else(Answer::Wrong))
}

fn known(params: &Params, names: &[&str]) -> Result<(), String> {
    match params.names().find(|name| !names.contains(name)) {
        Some(name) => Err(format!("{name}: is not known here; there are {}", names.join(", "))),
        None => Ok(()),
    }
}

/// A switch: `true`, `1` or nothing behind the name is on.
pub(super) fn switch(params: &Params, name: &str) -> Result<bool, String> {
    match params.get(name) {
        None | Some("false" | "0") => Ok(false),
        Some("true" | "1" | "") => Ok(true),
        Some(other) => Err(format!("{name}: {other:?} is neither true nor false")),
    }
}

/// A duration in microseconds: milliseconds, or as `1.5s`, `200ms`.
pub(super) fn micros(params: &Params, name: &str) -> Result<Option<u64>, String> {
    let Some(text) = params.get(name).filter(|t| !t.is_empty()) else { return Ok(None) };
    let units = [("ms", 1e3), ("us", 1.0), ("s", 1e6), ("m", 6e7), ("h", 3.6e9)];
    let (number, factor) = units
        .iter()
        .find_map(|(unit, factor)| Some((text.strip_suffix(unit)?, *factor)))
        .unwrap_or((text, 1e3));
    match number.parse::<f64>() {
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked")]
        Ok(value) if (0.0..1e15).contains(&(value * factor)) => Ok(Some((value * factor) as u64)),
        _ => Err(format!("{name}: {text:?} is no duration such as 250, 250ms or 1.5s")),
    }
}

fn number(params: &Params, name: &str) -> Result<Option<u64>, String> {
    let Some(text) = params.get(name).filter(|t| !t.is_empty()) else { return Ok(None) };
    text.parse().map(Some).map_err(|_| format!("{name}: {text:?} is no number"))
}

fn limit(params: &Params, default: usize) -> Result<usize, String> {
    match number(params, "limit")? {
        None => Ok(default),
        Some(limit) => match usize::try_from(limit).ok().filter(|l| (1..=MOST).contains(l)) {
            Some(limit) => Ok(limit),
            None => Err(format!("limit: must be from 1 to {MOST}")),
        },
    }
}

fn list(traces: &Traces, params: &Params) -> Result<Answer, String> {
    known(
        params,
        &[
            "service",
            "operation",
            "min_duration",
            "max_duration",
            "errors",
            "start",
            "end",
            "limit",
            "services",
        ],
    )?;
    let inner = traces.lock();
    if switch(params, "services")? {
        let all = inner.traces.values().flat_map(|t| &t.spans).map(|s| s.source.service.as_str());
        let all: BTreeSet<&str> = all.collect();
        return Ok(Answer::Found(json!({ "services": all })));
    }
    let text = |name: &str| params.get(name).filter(|v| !v.is_empty());
    let (service, operation, errors) = (text("service"), text("operation"), switch(params, "errors")?);
    let least = micros(params, "min_duration")?.unwrap_or(0).saturating_mul(1_000);
    let most = micros(params, "max_duration")?.map_or(u64::MAX, |m| m.saturating_mul(1_000));
    let nanos = |millis: Option<u64>| millis.map(|m| m.saturating_mul(1_000_000));
    let from = nanos(number(params, "start")?).unwrap_or(0);
    let until = nanos(number(params, "end")?).unwrap_or(u64::MAX);
    let limit = limit(params, 50)?;
    let fits = |trace: &Trace| {
        let (begin, end) = extent(trace);
        (from..=until).contains(&begin)
            && (least..=most).contains(&end.saturating_sub(begin))
            && (!errors || trace.spans.iter().any(is_error))
            && service.is_none_or(|s| trace.spans.iter().any(|span| span.source.service == s))
            && operation.is_none_or(|o| trace.spans.iter().any(|span| span.span.name.contains(o)))
    };
    let mut found: Vec<(u64, &[u8; 16], &Trace)> = (inner.traces.iter())
        .filter(|(_, trace)| fits(trace))
        .map(|(id, trace)| (extent(trace).0, id, trace))
        .collect();
    found.sort_unstable_by(|a, b| (b.0, b.1).cmp(&(a.0, a.1)));
    let listed: Vec<Value> = found.iter().take(limit).map(|(_, id, trace)| summary(id, trace)).collect();
    let (kept, lost) = (inner.traces.len(), traces.losses().0);
    Ok(Answer::Found(json!({ "traces": listed, "found": found.len(), "kept": kept, "lost": lost })))
}

fn one(traces: &Traces, id: &str, as_jaeger: bool, params: &Params) -> Result<Answer, String> {
    known(params, &["format"])?;
    let as_jaeger = match params.get("format") {
        None | Some("") => as_jaeger,
        Some("jaeger") => true,
        Some(other) => return Err(format!("format: {other:?} is not jaeger")),
    };
    let Some(key) = parse(id) else { return Err(format!("{id:?} is no trace id of 32 hexadecimal digits")) };
    let inner = traces.lock();
    Ok(match inner.traces.get(&key) {
        None => Answer::Missing(format!("trace {id} is not kept")),
        Some(trace) if as_jaeger => Answer::Found(jaeger::whole(&key, trace)),
        Some(trace) => Answer::Found(whole(&key, trace)),
    })
}

fn parse(id: &str) -> Option<[u8; 16]> {
    if id.is_empty() || id.len() > 32 || !id.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    // Short ids, as Zipkin's and Jaeger's may be, stand at the end.
    u128::from_str_radix(id, 16).ok().map(u128::to_be_bytes)
}

fn requests(traces: &Traces, params: &Params) -> Result<Answer, String> {
    let names: Vec<&str> = PARAMETERS.iter().copied().chain(["limit", "before"]).collect();
    known(params, &names)?;
    let filter = Filter::read(params)?;
    let before = number(params, "before")?.unwrap_or(u64::MAX);
    let limit = limit(params, 100)?;
    let inner = traces.lock();
    let found = inner.records.iter().rev().filter(|kept| kept.seq < before && filter.fits(kept));
    let listed: Vec<Value> = found.take(limit).map(|kept| kept.to_json()).collect();
    Ok(Answer::Found(json!({ "requests": listed, "last": inner.next, "lost": traces.losses().1 })))
}
