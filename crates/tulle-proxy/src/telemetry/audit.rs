//! Denied requests and connections in the audit log.

use std::net::SocketAddr;

use tulle_identity::{PeerFault, peer_fault, tls::explain};
use tulle_telemetry::{
    audit::{AuditLog, Entry, Event},
    details,
};

use crate::listener::facts::Conn;

/// What the details of a response begin with that was made because somebody may not do something.
const DENIALS: [&str; 3] = ["rbac_access_denied", "jwt_authn_access_denied", "ext_authz_denied"];

/// Records a denial, and says whether it was one, by `details`. `subject` says what was asked for.
pub(crate) fn denied(conn: &Conn, details: &str, subject: impl FnOnce() -> String) -> bool {
    if !is_denial(details) {
        return false;
    }
    if conn.worker.settings.audit.is_on() {
        record_denied(conn, details, subject());
    }
    true
}

fn record_denied(conn: &Conn, details: &str, subject: String) {
    let principal = conn.identity().and_then(|peer| peer.principal());
    let entry = Entry::new(Event::RequestDenied, principal.map_or("", |p| p), subject)
        .refused(details)
        .with("client", conn.arrival.peer.to_string())
        .with("policy", policy(details));
    conn.worker.settings.audit.record(entry);
}

/// Records that a head was not read because it is larger than heads may be: with a token, perhaps.
pub(crate) fn too_large(conn: &Conn) {
    record_denied(
        conn,
        details::REQUEST_HEADERS_TOO_LARGE,
        format!("request to {}", conn.arrival.destination),
    );
}

/// Records that something passed of which an AUDIT policy asks for a record.
pub(crate) fn audited(conn: &Conn, policy: &str, status: u16, subject: impl FnOnce() -> String) {
    let audit = &conn.worker.settings.audit;
    if !audit.is_on() {
        return;
    }
    let principal = conn.identity().and_then(|peer| peer.principal());
    let mut entry = Entry::new(Event::RequestAudited, principal.map_or("", |p| p), subject())
        .with("client", conn.arrival.peer.to_string())
        .with("policy", policy);
    if status != 0 {
        entry = entry.with("status", status);
    }
    audit.record(entry);
}

/// Records that a TLS peer was refused for its certificate, if that is why the handshake failed. `peer` names its role and address.
pub(crate) fn refused(
    audit: &AuditLog,
    error: &std::io::Error,
    subject: &str,
    peer: (&'static str, SocketAddr),
) {
    let Some(fault) = peer_fault(error).filter(|_| audit.is_on()) else { return };
    let fault = match fault {
        PeerFault::Missing => "no certificate",
        PeerFault::Names => "names",
        PeerFault::Certificate => "certificate",
    };
    let reason = error.get_ref().and_then(|e| e.downcast_ref()).map_or_else(|| error.to_string(), explain);
    let entry = Entry::new(Event::PeerRefused, "", subject).refused(reason);
    audit.record(entry.with("fault", fault).with(peer.0, peer.1.to_string()));
}

/// Whether details say that somebody may not do something.
pub(crate) fn is_denial(details: &str) -> bool {
    DENIALS.iter().any(|denial| details.starts_with(denial))
}

/// The policy that details name.
pub(crate) fn policy(details: &str) -> &str {
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
