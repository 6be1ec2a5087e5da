//! `/api/rollouts`: what splits or copies requests, and how its sides do.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::Seen;
use super::golden::Golden;
use super::statistics::{newcombe, wilson};
use crate::plane::{Route, Service, Target};

/// Fewer requests than this on a side say nothing.
const FEW: f64 = 30.0;

/// One side.
struct Variant<'a> {
    target: &'a Target,
    golden: Golden,
    mirror: bool,
}

impl Variant<'_> {
    /// Requests that succeeded, and all, in the window.
    fn counts(&self, seconds: f64) -> (f64, f64) {
        let all = (self.golden.rate * seconds).round();
        (all - (self.golden.errors * seconds).round().min(all), all)
    }
}

/// All of them.
pub(crate) fn rollouts(seen: &Seen) -> Value {
    let mut told = BTreeSet::new();
    let mut all = Vec::new();
    for service in seen.model.services.values() {
        for route in &service.routes {
            let sides = route.destinations.len() + usize::from(route.mirror.is_some());
            // A route is listed with every service that it leads to; it is one rollout.
            if sides >= 2 && told.insert(route.id.clone()) {
                all.push(rollout(seen, service, route));
            }
        }
    }
    json!({"time": seen.time(), "window": seen.seconds(), "rollouts": all})
}

fn rollout(seen: &Seen, service: &Service, route: &Route) -> Value {
    let mut variants: Vec<Variant<'_>> = route
        .destinations
        .iter()
        .map(|target| (target, false))
        .chain(route.mirror.iter().map(|m| (&m.destination, true)))
        .map(|(target, mirror)| Variant { target, golden: golden(seen, target), mirror })
        .collect();
    // The one of most weight is what users have; the first of equals.
    let stable = (0..variants.len())
        .filter(|i| !variants[*i].mirror)
        .max_by_key(|i| (variants[*i].target.weight, std::cmp::Reverse(*i)))
        .unwrap_or(0);
    variants.swap(0, stable);
    let rate: f64 = variants.iter().filter(|v| !v.mirror).map(|v| v.golden.rate).sum();
    let weights: u32 = route.destinations.iter().map(|t| t.weight).sum();
    let seconds = seen.seconds();
    let rows = variants.iter().enumerate().map(|(i, variant)| {
        let Variant { target, golden, mirror } = variant;
        let (good, samples) = variant.counts(seconds);
        let (low, high) = wilson(good, samples);
        let role = if i == 0 { "stable" } else { "canary" };
        let mut out = json!(golden);
        out["name"] = json!(name_of(target));
        out["role"] = json!(if *mirror { "mirror" } else { role });
        out["destination"] = json!({"host": target.host, "subset": target.subset, "port": target.port});
        out["workloads"] = json!(target.workloads);
        out["weight"] = json!(target.weight);
        out["wanted"] =
            json!((weights > 0 && !mirror).then(|| f64::from(target.weight) / f64::from(weights)));
        out["share"] = json!((rate > 0.0 && !mirror).then(|| golden.rate / rate));
        out["samples"] = json!(samples);
        out["success"] = json!(golden.success_rate);
        out["successLow"] = json!((samples > 0.0).then_some(low));
        out["successHigh"] = json!((samples > 0.0).then_some(high));
        out
    });
    let rows: Vec<Value> = rows.collect();
    let comparisons: Vec<Value> =
        variants.iter().skip(1).map(|canary| compare(&variants[0], canary, seconds)).collect();
    json!({
        "id": route.id, "resource": route.resource, "rule": route.rule, "name": route.name,
        "service": service.id, "hosts": route.hosts, "gateways": route.gateways, "match": route.matches,
        "kind": if route.destinations.len() >= 2 { "split" } else { "mirror" },
        "variants": rows,
        // The first canary's; all of them where there are more.
        "comparison": comparisons.first(), "comparisons": comparisons,
    })
}

/// What came to a destination: calls that ended at its workloads.
fn golden(seen: &Seen, target: &Target) -> Golden {
    let Some(service) = target.service.as_ref().and_then(|id| seen.model.services.get(id)) else {
        return Golden::default();
    };
    Golden::of(seen.calls_of(service).filter(|(key, _)| target.workloads.contains(&key.target)))
}

fn name_of(target: &Target) -> &str {
    if target.subset.is_empty() { &target.host } else { &target.subset }
}

fn compare(stable: &Variant<'_>, canary: &Variant<'_>, seconds: f64) -> Value {
    let (first, second) = (stable.counts(seconds), canary.counts(seconds));
    let shared = stable.target.workloads.intersection(&canary.target.workloads).count() > 0;
    let difference = newcombe(first, second).filter(|_| !shared);
    let name = name_of(canary.target);
    let (verdict, text) = match difference {
        None if shared => ("not comparable", format!("{name} and the stable side are the same pods")),
        None => ("too few", "a side had no requests in the window".to_owned()),
        Some(_) if first.1 < FEW || second.1 < FEW => {
            let few = first.1.min(second.1);
            ("too few", format!("one side had {few:.0} requests in the window; {FEW:.0} are needed"))
        }
        Some((d, low, high)) => {
            let [d, low, high] = [d, low, high].map(|x| x * 100.0);
            let numbers = format!("{d:+.2} points of success (95 %: {low:+.2} to {high:+.2})");
            if high < 0.0 {
                ("worse", format!("{name} fails more often: {numbers}"))
            } else if low > 0.0 {
                ("better", format!("{name} fails less often: {numbers}"))
            } else {
                ("no difference seen", format!("{name} and the stable side cannot be told apart: {numbers}"))
            }
        }
    };
    json!({
        "canary": name, "verdict": verdict, "text": text, "confidence": 0.95,
        "successDifference": difference.map(|d| d.0),
        "low": difference.map(|d| d.1), "high": difference.map(|d| d.2),
        "p99Difference": stable.golden.p99.zip(canary.golden.p99).map(|(a, b)| b - a),
    })
}
