//! Rules about `Telemetry`.

use super::common::{duration, selector as check_selector, target_refs as check_targets};
use super::rules::Rules;
use crate::istio::{MetricMatch, Metrics, TagOperation, Telemetry, Tracing};
use crate::schema::At;

/// Checks a Telemetry.
pub(super) fn check(given: &Telemetry, at: &At<'_>, rules: &mut Rules) {
    let Telemetry { selector, target_ref, target_refs, tracing, metrics, access_logging } = given;
    rules.exclusive(
        at,
        &[
            ("selector", selector.is_some()),
            ("targetRef", target_ref.is_some()),
            ("targetRefs", !target_refs.is_empty()),
        ],
    );
    check_selector(selector.as_ref(), &at.field("selector"), rules);
    check_targets(target_ref.as_ref(), target_refs, at, rules);
    let list = at.field("tracing");
    if tracing.len() > 1 {
        rules.warn(&list.index(1), "only the first entry is used", "merge the entries");
    }
    for (i, entry) in tracing.iter().enumerate() {
        check_tracing(entry, &list.index(i), rules);
    }
    for (i, entry) in metrics.iter().enumerate() {
        check_metrics(entry, &at.field("metrics").index(i), rules);
    }
    for (i, entry) in access_logging.iter().enumerate() {
        let list = at.field("accessLogging");
        let here = list.index(i);
        if entry.filter.as_ref().is_some_and(|f| f.expression.is_empty()) {
            rules.error(
                &here.field("filter").field("expression"),
                "is empty",
                "remove the filter to log everything",
            );
        }
    }
}

fn check_tracing(entry: &Tracing, at: &At<'_>, rules: &mut Rules) {
    if entry.providers.len() > 1 {
        rules.warn(&at.field("providers").index(1), "only the first provider is used", "keep one");
    }
    if let Some(share) = entry.random_sampling_percentage.filter(|p| !(0.0..=100.0).contains(p)) {
        rules.error(
            &at.field("randomSamplingPercentage"),
            format!("must be between 0 and 100 but is {share}"),
            "",
        );
    }
    if entry.custom_tags.contains_key("") {
        rules.error(&at.field("customTags"), "a tag has no name", "");
    }
}

fn check_metrics(entry: &Metrics, at: &At<'_>, rules: &mut Rules) {
    duration(entry.reporting_interval.as_ref(), &at.field("reportingInterval"), rules);
    for (i, change) in entry.overrides.iter().enumerate() {
        let list = at.field("overrides");
        let here = list.index(i);
        let custom = change.matches.as_ref().and_then(|m| m.metric_match.as_ref());
        if matches!(custom, Some(MetricMatch::CustomMetric(name)) if name.is_empty()) {
            rules.error(&here.field("match").field("customMetric"), "is empty", "name a metric");
        }
        for (tag, value) in &change.tag_overrides {
            let tags = here.field("tagOverrides");
            if tag.is_empty() {
                rules.warn(&tags, "a label has no name", "name it");
            }
            let removes = value.operation == Some(TagOperation::Remove);
            if removes != value.value.is_empty() {
                let (message, fix) = if removes {
                    ("is for UPSERT, not for REMOVE", "remove it")
                } else {
                    ("is required for UPSERT", "give it, or operation: REMOVE")
                };
                rules.error(&tags.field(tag).field("value"), message, fix);
            }
        }
    }
}
