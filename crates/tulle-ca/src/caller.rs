//! Who asks for a certificate.

use std::sync::Arc;
use std::time::SystemTime;

use tulle_base::SpiffeId;
use tulle_identity::PeerIdentity;

use crate::token::{TokenError, TokenSubject, TokenVerifier};

/// The verified client certificate of the connection. The acceptor puts it into each request's extensions.
#[derive(Clone, Debug)]
pub struct PeerCertificate(pub Arc<PeerIdentity>);

/// What a caller was believed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Credential {
    /// A service account token.
    Token,
    /// Its current certificate.
    Certificate,
}

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// Its identity; the only name that its certificate will carry.
    pub id: SpiffeId,
    /// What says so.
    pub credential: Credential,
    /// The pod that its token is bound to.
    pub pod: Option<BoundPod>,
}

impl Caller {
    /// Whose requests are counted together: the pod's, or else all of the identity's.
    pub(crate) fn key(&self) -> String {
        match &self.pod {
            Some(pod) if !pod.uid.is_empty() => pod.uid.clone(),
            _ => self.id.to_string(),
        }
    }
}

/// The pod that a token is bound to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BoundPod {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
}

/// Why a caller is not believed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// It shows neither token nor certificate.
    #[error("neither a service account token nor a client certificate")]
    Nothing,
    /// The token is not good.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The account or the pod that the token is bound to is gone.
    #[error("the token is bound to something that does not exist: {0}")]
    Unbound(String),
    /// The certificate names no workload, or one of another trust domain.
    #[error("the client certificate names no workload of this trust domain")]
    Certificate,
    /// Token and certificate name different workloads.
    #[error("the token is {token}'s and the certificate {certificate}'s")]
    Contradiction {
        /// Who the token names.
        token: String,
        /// Who the certificate names.
        certificate: String,
    },
}

/// Knows whether what a token is bound to still exists.
pub trait Bindings: Send + Sync {
    /// Checks account and pod.
    ///
    /// # Errors
    /// What is gone, in words.
    fn check(&self, subject: &TokenSubject) -> Result<(), String>;
}

/// Other names of the trust domain, which may change at any time.
pub type Aliases = Arc<arc_swap::ArcSwap<Vec<String>>>;

/// Decides who a caller is.
pub(crate) struct Authenticator {
    pub(crate) trust_domain: String,
    /// Other names of the trust domain: a certificate that carries one is renewed under the trust domain's own.
    pub(crate) aliases: Aliases,
    pub(crate) tokens: TokenVerifier,
    pub(crate) bindings: Arc<dyn Bindings>,
}

impl Authenticator {
    /// The caller by its token, or by its certificate where it shows no good token. If both are good they must agree.
    pub(crate) fn authenticate(
        &self,
        token: Option<&str>,
        certificate: Option<&PeerCertificate>,
        now: SystemTime,
    ) -> Result<Caller, AuthError> {
        let by_token = token.map(|t| self.by_token(t, now));
        let by_certificate = certificate.map(|c| self.by_certificate(c));
        match (by_token, by_certificate) {
            (Some(Ok((token, _))), Some(Ok(certificate))) if token != certificate => {
                Err(AuthError::Contradiction {
                    token: token.to_string(),
                    certificate: certificate.to_string(),
                })
            }
            (Some(Ok((id, pod))), _) => Ok(Caller { id, credential: Credential::Token, pod }),
            (None | Some(Err(AuthError::Token(_))), Some(Ok(id))) => {
                Ok(Caller { id, credential: Credential::Certificate, pod: None })
            }
            (Some(Err(error)), _) | (None, Some(Err(error))) => Err(error),
            (None, None) => Err(AuthError::Nothing),
        }
    }

    fn by_token(&self, token: &str, now: SystemTime) -> Result<(SpiffeId, Option<BoundPod>), AuthError> {
        let subject = self.tokens.verify(token, now)?;
        self.bindings.check(&subject).map_err(AuthError::Unbound)?;
        let TokenSubject { namespace, service_account, service_account_uid: _, pod } = subject;
        let pod = pod.map(|(name, uid)| BoundPod { namespace: namespace.clone(), name, uid });
        Ok((SpiffeId::new(&*self.trust_domain, namespace, service_account), pod))
    }

    fn by_certificate(&self, certificate: &PeerCertificate) -> Result<SpiffeId, AuthError> {
        let id = certificate.0.spiffe.clone().ok_or(AuthError::Certificate)?;
        let known = id.trust_domain == self.trust_domain || self.aliases.load().contains(&id.trust_domain);
        if known {
            Ok(SpiffeId::new(&*self.trust_domain, id.namespace, id.service_account))
        } else {
            Err(AuthError::Certificate)
        }
    }
}
