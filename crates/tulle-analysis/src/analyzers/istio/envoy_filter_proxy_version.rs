//! Relative patches for single versions of the proxy, without a priority: during an upgrade their order changes.

use tulle_base::Severity;

use crate::analyzer::{Analyzer, Findings};
use crate::reason::patches::patches;
use crate::whole::Whole;

/// A relative patch without priority is for single versions of the proxy.
pub(super) const ANALYZER: Analyzer = Analyzer {
    code: "IST0155",
    name: "EnvoyFilterUsesRelativeOperationWithProxyVersion",
    severity: Severity::Warning,
    about: "A relative patch of an EnvoyFilter is for single versions of the proxy, and has no priority",
    check,
};

fn check(whole: &Whole<'_>, out: &mut Findings) {
    for at in patches(whole).filter(|p| p.is_relative_without_priority() && !p.proxy_version().is_empty()) {
        let message = format!(
            "is relative to other filters, for proxies of version {} alone and without a priority: it may break in an upgrade",
            at.proxy_version()
        );
        out.report(
            at.object,
            at.path("patch.operation"),
            message,
            "give spec.priority, and drop proxyVersion if you can",
        );
    }
}
