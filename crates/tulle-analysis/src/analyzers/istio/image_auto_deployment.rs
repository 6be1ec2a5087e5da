//! Deployments with an image that only injection fills in, where nothing is injected.

use tulle_api::Kind;
use tulle_api::kubernetes::PodSpec;
use tulle_base::{FieldPath, Severity};

use crate::analyzer::{Analyzer, Findings};
use crate::whole::Whole;

/// The image auto waits for injection where nothing is injected.
pub(super) const ANALYZER: Analyzer = Analyzer {
    code: "IST0146",
    name: "ImageAutoWithoutInjectionWarning",
    severity: Severity::Warning,
    about: "The image auto waits for injection where nothing is injected",
    check,
};

fn check(whole: &Whole<'_>, out: &mut Findings) {
    for pods in whole.pods().iter().filter(|p| p.object.kind() != Kind::Pod && !p.injected) {
        if let Some(i) = auto(pods.spec) {
            let path = format!("{}spec.containers[{i}].image", pods.template);
            let message = "the image auto is filled in by injection, but nothing is injected into these pods";
            let fix = format!(
                "label the pods sidecar.istio.io/inject: \"true\", or the namespace {} istio-injection: enabled",
                pods.namespace()
            );
            out.report(pods.object, FieldPath::from(path.as_str()), message, fix);
        }
    }
}

/// The container whose image is to be filled in.
pub(super) fn auto(spec: &PodSpec) -> Option<usize> {
    spec.containers.iter().position(|c| c.name == "istio-proxy" && c.image == "auto")
}
