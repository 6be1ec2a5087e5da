//! Resources whose status says that something failed.

use serde_json::Value;
use tulle_api::Kind;
use tulle_base::{FieldPath, Severity};

use crate::analyzer::{Analyzer, Findings};
use crate::whole::Whole;

/// The status of a resource has a condition that is false.
pub(super) const ANALYZER: Analyzer = Analyzer {
    code: "IST0171",
    name: "NegativeConditionStatus",
    severity: Severity::Warning,
    about: "The status of a resource has a condition that is false",
    check,
};

fn check(whole: &Whole<'_>, out: &mut Findings) {
    for object in whole.objects() {
        let group = object.kind().info().group;
        if !group.ends_with("istio.io")
            && group != "gateway.networking.k8s.io"
            && object.kind() != Kind::Service
        {
            continue;
        }
        let conditions = object.status.as_ref().and_then(|s| s.get("conditions")).and_then(Value::as_array);
        for (i, condition) in conditions.into_iter().flatten().enumerate() {
            let text = |key: &str| condition.get(key).and_then(Value::as_str).unwrap_or_default();
            // Conflicted is good news when it is false.
            if text("status") == "False" && text("type") != "Conflicted" {
                let path = FieldPath::from(format!("status.conditions[{i}]").as_str());
                let message = format!("{} is false ({}): {}", text("type"), text("reason"), text("message"));
                out.report(object, path, message, "");
            }
        }
    }
}
