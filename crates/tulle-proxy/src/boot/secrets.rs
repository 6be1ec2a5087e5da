//! Compiled secrets into the cells that TLS reads.

use std::path::Path;
use std::sync::Arc;

use tulle_engine::runtime::tls::{CertificatePem, DataRef, RootSource, Secret, Validation};
use tulle_identity::{Certificate, MaterialError, Revocations, Secrets, TrustBundle, material};

/// Why a secret cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SecretError {
    /// Its material is broken.
    #[error(transparent)]
    Material(#[from] MaterialError),
    /// A validation context without roots of its own.
    #[error("validation_context: trusted_ca with a file or inline data is needed here")]
    NoRoots,
}

/// Puts a secret in force.
///
/// # Errors
/// [`SecretError`]; what was in force under that name stays.
pub(crate) fn put(secrets: &Secrets, name: &str, secret: &Secret) -> Result<(), SecretError> {
    match secret {
        Secret::Certificate(pem) => {
            let CertificatePem { chain, key } = &**pem;
            let certificate = Certificate::from_pem(&read(chain)?, &read(key)?)?;
            secrets.certificate(name).set(Arc::new(certificate));
        }
        Secret::Validation(Validation::Chain(chain)) => {
            let RootSource::Inline(data) = &chain.roots else { return Err(SecretError::NoRoots) };
            let mut bundle = TrustBundle::from_pem(&read(data)?)?;
            if let Some(crl) = &chain.crl {
                bundle = bundle.with_revocations(Revocations::from_pem(&read(crl)?, chain.crl_leaf_only)?);
            }
            secrets.bundle(name).set(Arc::new(bundle));
        }
        Secret::Validation(Validation::None) => return Err(SecretError::NoRoots),
    }
    Ok(())
}

fn read(data: &DataRef) -> Result<Vec<u8>, MaterialError> {
    match data {
        DataRef::Inline(bytes) => Ok(bytes.to_vec()),
        DataRef::File(path) => material::read_file(Path::new(&**path)),
    }
}
