//! Applications that run as user 1337: interception leaves what that user sends alone, as it is the proxy's.

use tulle_base::{FieldPath, Severity};

use crate::analyzer::{Analyzer, Findings};
use crate::whole::Whole;

/// An application runs as user 1337, the proxy's, whose traffic is not intercepted.
pub(super) const ANALYZER: Analyzer = Analyzer {
    code: "IST0144",
    name: "InvalidApplicationUID",
    severity: Severity::Warning,
    about: "An application runs as user 1337, the proxy's, whose traffic is not intercepted",
    check,
};

/// The user that the proxy runs as (Istio).
const PROXY: i64 = 1337;

fn check(whole: &Whole<'_>, out: &mut Findings) {
    const MESSAGE: &str = "user 1337 is the proxy's: what it sends is not intercepted";
    for pods in whole.pods().iter() {
        let mut report = |path: String| {
            let path = FieldPath::from(format!("{}spec.{path}", pods.template).as_str());
            out.report(pods.object, path, MESSAGE, "run the application as another user");
        };
        let of_pod = pods.spec.security_context.as_ref().and_then(|c| c.run_as_user);
        if of_pod == Some(PROXY) {
            report("securityContext.runAsUser".to_owned());
        }
        for (kind, all) in
            [("containers", &pods.spec.containers), ("initContainers", &pods.spec.init_containers)]
        {
            for (i, container) in all.iter().enumerate().filter(|(_, c)| c.name != "istio-proxy") {
                if container.security_context.as_ref().and_then(|c| c.run_as_user) == Some(PROXY) {
                    report(format!("{kind}[{i}].securityContext.runAsUser"));
                }
            }
        }
    }
}
