//! Keeps a workload's certificate fresh: asks for the first one, and for the next one at about half of each one's life.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tulle_base::SpiffeId;
use tulle_base::backoff::Backoff;

use crate::ca::{CaError, Issued, Issuer};
use crate::cert::CertInfo;
use crate::key::WorkloadKey;
use crate::material::{Certificate, MaterialError, TrustBundle, read_certificates, read_file};
use crate::secrets::TrustSource;
use crate::watched::Watched;

/// Part of a certificate's life after which it is replaced (Istio's grace ratio).
const RENEW_AT: f64 = 0.5;
/// How far that part is spread, so that pods that started together do not renew together (Istio: 0.01).
const JITTER: f64 = 0.01;
/// The longest that is slept at once, so that a suspended machine or a clock that was set is noticed.
const LONGEST_SLEEP: Duration = Duration::from_secs(60);

/// How the rotation stands, for `/certs`, metrics and logs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RotationStatus {
    /// The certificate in force.
    pub certificate: Option<CertInfo>,
    /// Certificates issued since the start.
    pub issued: u64,
    /// Requests that failed since the start.
    pub failures: u64,
    /// Why the last request failed; empty if it did not.
    pub last_error: Option<String>,
}

/// Keeps one certificate and the bundle that came with it in their cells. The old ones stay in force until new ones are there.
pub struct Rotation {
    /// Who signs.
    pub issuer: Arc<dyn Issuer>,
    /// For whom.
    pub id: SpiffeId,
    /// The life to ask for.
    pub ttl: Duration,
    /// File with the mesh's roots, which count in addition to those the CA sends; read again at every renewal.
    pub roots: Option<PathBuf>,
    /// Where the certificate goes.
    pub certificate: Watched<Certificate>,
    /// Where the bundle goes, bound to the trust domain of `id`.
    pub bundle: TrustSource,
    /// Where the status goes.
    pub status: Watched<RotationStatus>,
}

impl Rotation {
    /// Runs until it is dropped.
    pub async fn run(self) {
        let mut status = RotationStatus::default();
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(30));
        loop {
            match self.renew().await {
                Ok(info) => {
                    tracing::info!(id = %self.id, serial = info.serial, seconds_left = info.seconds_left(SystemTime::now()), "certificate in force");
                    backoff.reset();
                    status.issued += 1;
                    status.last_error = None;
                    status.certificate = Some(info.clone());
                    self.status.set(Arc::new(status.clone()));
                    sleep_until(renew_at(&info, SystemTime::now(), fraction())).await;
                }
                Err(error) => {
                    status.failures += 1;
                    status.last_error = Some(error.to_string());
                    self.status.set(Arc::new(status.clone()));
                    let wait = retry_wait(&mut backoff, status.certificate.is_some());
                    tracing::warn!(%error, failures = backoff.failures(), wait_ms = wait.as_millis(), "no new certificate");
                    tokio::time::sleep(wait).await;
                }
            }
        }
    }

    /// Makes a key, has it certified and puts both in force.
    async fn renew(&self) -> Result<CertInfo, CaError> {
        let key = WorkloadKey::generate()?;
        let issued = self.issuer.issue(key.signing_request(&self.id)?, self.ttl).await?;
        let Issued { chain, roots } = issued;
        let certificate = Certificate::issued(chain, &key)?;
        let info = certificate.info().clone();
        let wanted = self.id.to_string();
        if info.uri_sans != [wanted.clone()] {
            return Err(CaError::WrongIdentity { wanted, found: info.uri_sans });
        }
        // Roots first: a peer may already use a certificate of a new root.
        self.bundle.set(Arc::new(self.new_bundle(roots)?));
        self.certificate.set(Arc::new(certificate));
        Ok(info)
    }

    fn new_bundle(
        &self,
        mut roots: Vec<rustls_pki_types::CertificateDer<'static>>,
    ) -> Result<TrustBundle, MaterialError> {
        if let Some(path) = &self.roots {
            let more = read_file(path).and_then(|pem| read_certificates(&pem));
            match more {
                Ok(more) => roots.extend(more),
                Err(error) if roots.is_empty() => return Err(error),
                Err(error) => tracing::warn!(%error, "mesh roots not read, using those of the CA"),
            }
        }
        roots.sort_by(|a, b| a.as_ref().cmp(b.as_ref()));
        roots.dedup();
        Ok(TrustBundle::from_der(roots)?.for_trust_domain(self.id.trust_domain.clone()))
    }
}

/// When a certificate that came at `received` is replaced: after half of the life it had then, give or take [`JITTER`] of it (`random`
/// in `0.0..1.0`), and at the earliest a second later. Counted from the receipt, since CAs date certificates back.
pub fn renew_at(info: &CertInfo, received: SystemTime, random: f64) -> SystemTime {
    #[allow(clippy::cast_precision_loss, reason = "lives of certificates are far below 2^52 s")]
    let life = info.seconds_left(received).max(0) as f64;
    let keep = life * (RENEW_AT + JITTER * (2.0 * random - 1.0));
    received + Duration::from_secs_f64(keep.max(1.0))
}

async fn sleep_until(due: SystemTime) {
    while let Ok(left) = due.duration_since(SystemTime::now()) {
        if left.is_zero() {
            return;
        }
        tokio::time::sleep(left.min(LONGEST_SLEEP)).await;
    }
}

/// Without any certificate the pod waits for us: at most 2 s then.
fn retry_wait(backoff: &mut Backoff, has_certificate: bool) -> Duration {
    let least = Duration::from_millis(50);
    let wait = backoff.next(fraction()).max(least);
    if has_certificate { wait } else { wait.min(Duration::from_secs(2)) }
}

/// A random number in `0.0..1.0`; one half should the system give no randomness.
fn fraction() -> f64 {
    let mut bytes = [0u8; 4];
    if aws_lc_rs::rand::fill(&mut bytes).is_err() {
        return 0.5;
    }
    f64::from(u32::from_le_bytes(bytes)) / (f64::from(u32::MAX) + 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(not_before: i64, not_after: i64) -> CertInfo {
        CertInfo {
            serial: "1".into(),
            subject: String::new(),
            uri_sans: vec![],
            dns_sans: vec![],
            not_before,
            not_after,
        }
    }

    #[test]
    fn renews_at_half_of_life_with_a_little_jitter() {
        let at = |s: u64| SystemTime::UNIX_EPOCH + Duration::from_secs(s);
        let day = info(0, 86_400);
        assert_eq!(renew_at(&day, at(0), 0.5), at(43_200));
        assert_eq!(renew_at(&day, at(0), 0.0), at(42_336));
        assert_eq!(renew_at(&day, at(0), 1.0), at(44_064));
        assert_eq!(renew_at(&info(0, 240), at(120), 0.5), at(180), "dated back by two minutes");
        assert_eq!(renew_at(&day, at(90_000), 0.5), at(90_001), "expired: at once");
    }
}
