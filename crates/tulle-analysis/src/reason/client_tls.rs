//! Whether a client's TLS checks the server.

use tulle_api::Object;
use tulle_api::istio::{ClientTlsMode, ClientTlsSettings};
use tulle_base::{FieldPath, Severity};

use crate::analyzer::Findings;

/// How the check of the server falls short.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unverified {
    /// `insecureSkipVerify`: nobody checks.
    Skipped,
    /// No authorities are named: the machine's own are taken.
    SystemRoots,
}

/// How the check of the server falls short under these settings; `None` if it does not, or if there is no TLS of this
/// sort.
pub fn unverified(tls: &ClientTlsSettings) -> Option<Unverified> {
    if !matches!(tls.mode, Some(ClientTlsMode::Simple | ClientTlsMode::Mutual)) {
        return None;
    }
    if tls.insecure_skip_verify == Some(true) {
        return Some(Unverified::Skipped);
    }
    let none = tls.ca_certificates.is_empty() && tls.credential_name.is_empty();
    none.then_some(Unverified::SystemRoots)
}

impl Unverified {
    /// Reports it about the block at `path`.
    pub fn report(self, object: &Object, path: &str, out: &mut Findings) {
        match self {
            Self::Skipped => {
                let path = FieldPath::from(path).field("insecureSkipVerify");
                let message = "the server's certificate is not checked: anybody in between can answer";
                out.report(object, path, message, "remove it, and name the authorities in caCertificates");
            }
            Self::SystemRoots => {
                let message = "the server is checked against the machine's own authorities, because none are named; \
                               some versions of Istio do not check it at all then";
                let fix = "write caCertificates or credentialName";
                out.report_as(Severity::Info, object, FieldPath::from(path), message, fix);
            }
        }
    }
}
