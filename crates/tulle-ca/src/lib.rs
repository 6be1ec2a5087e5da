//! The mesh's certificate authority: signing keys, whom it believes, and what it signs.
//!
//! [`Authority`] holds a signing key and lets nobody see it; [`Authorities`] says which one is in force, and leads from one root to
//! the next. [`TokenVerifier`] and the client certificate of the connection say
//! who asks; the names in a certificate come from there, never from the request, of which only the public key is used.
//! [`CaService`] is `istio.v1.auth.IstioCertificateService` on top.

mod authorities;
mod authority;
mod caller;
mod csr;
mod files;
mod issued;
mod key;
mod limit;
mod policy;
mod service;
mod token;

pub use authorities::{Authorities, InForce, Phase, RotateError};
pub use authority::{Authority, AuthorityError, IssueError, Issued};
pub use caller::{Aliases, AuthError, Bindings, BoundPod, Caller, Credential, PeerCertificate};
pub use csr::{CsrError, SigningRequest};
pub use issued::{Holding, IssuedBook, fingerprint};
pub use key::CaKeyError;
pub use policy::TtlPolicy;
pub use service::{CaService, Counters, Setup};
pub use token::{TokenError, TokenSubject, TokenVerifier};
