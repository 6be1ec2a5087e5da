//! The mesh's certificate authority: signing keys, whom it believes, and what it signs.
//!
//! [`Authority`] holds the signing key and lets nobody see it. [`TokenVerifier`] and the client certificate of the connection say
//! who asks; the names in a certificate come from there, never from the request, of which only the public key is used.
//! [`CaService`] is `istio.v1.auth.IstioCertificateService` on top.

mod authority;
mod caller;
mod csr;
mod files;
mod policy;
mod service;
mod token;

pub use authority::{Authority, AuthorityError, IssueError, Issued};
pub use caller::{AuthError, Bindings, Caller, Credential, PeerCertificate};
pub use csr::{CsrError, SigningRequest};
pub use policy::TtlPolicy;
pub use service::{CaService, Counters};
pub use token::{TokenError, TokenSubject, TokenVerifier};
