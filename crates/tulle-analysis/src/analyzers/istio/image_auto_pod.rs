//! Pods with an image that only injection fills in, which did not happen.

use tulle_api::Kind;
use tulle_base::{FieldPath, Severity};

use super::image_auto_deployment::auto;
use crate::analyzer::{Analyzer, Findings};
use crate::whole::Whole;

/// A pod has the image auto, which no injection fills in.
pub(super) const ANALYZER: Analyzer = Analyzer {
    code: "IST0147",
    name: "ImageAutoWithoutInjectionError",
    severity: Severity::Error,
    about: "A pod has the image auto, which no injection fills in",
    check,
};

fn check(whole: &Whole<'_>, out: &mut Findings) {
    // A manifest of a pod may still be injected when it is created.
    for pods in whole.pods().iter().filter(|p| p.object.kind() == Kind::Pod && !p.injected) {
        if let Some(i) = auto(pods.spec) {
            let path = FieldPath::from(format!("spec.containers[{i}].image").as_str());
            let message = "the image auto was not filled in, as nothing is injected into this pod";
            out.report(
                pods.object,
                path,
                message,
                "label it sidecar.istio.io/inject: \"true\" and make it again",
            );
        }
    }
}
