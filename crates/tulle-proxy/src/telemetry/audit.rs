//! Denied requests and connections in the audit log.

use tulle_telemetry::audit::{Entry, Event};

use crate::listener::facts::Conn;

/// What the details of a response begin with that was made because somebody may not do something.
const DENIALS: [&str; 3] = ["rbac_access_denied", "jwt_authn_access_denied", "ext_authz_denied"];

/// Records a denial, if `details` say that it was one. `subject` says what was asked for.
pub(crate) fn denied(conn: &Conn, details: &str, subject: impl FnOnce() -> String) {
    let audit = &conn.worker.settings.audit;
    if !audit.is_on() || !DENIALS.iter().any(|denial| details.starts_with(denial)) {
        return;
    }
    let principal = conn.identity().and_then(|peer| peer.principal());
    let entry = Entry::new(Event::RequestDenied, principal.map_or("", |p| p), subject())
        .refused(details)
        .with("client", conn.arrival.peer.to_string())
        .with("policy", policy(details));
    audit.record(entry);
}

/// The policy that details name.
fn policy(details: &str) -> &str {
    details.split_once("matched_policy[").and_then(|(_, rest)| rest.strip_suffix(']')).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_policy_is_told() {
        assert_eq!(
            super::policy("rbac_access_denied_matched_policy[ns[a]-policy[b]-rule[0]]"),
            "ns[a]-policy[b]-rule[0]"
        );
        assert_eq!(super::policy("jwt_authn_access_denied{Jwt_is_missing}"), "");
    }
}
