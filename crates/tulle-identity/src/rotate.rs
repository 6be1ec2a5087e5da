//! Keeps a workload's certificate fresh: asks for the first one, and for the next one at about half of each one's life.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tulle_base::SpiffeId;
use tulle_base::backoff::Backoff;

use crate::ca::{CaError, Issued, Issuer};
use crate::cert::CertInfo;
use crate::key::WorkloadKey;
use crate::material::Certificate;
use crate::svid::Svid;
use crate::trust::Trust;
use crate::watched::Watched;

/// Part of a certificate's life after which it is replaced (Istio's grace ratio).
const RENEW_AT: f64 = 0.5;
/// How far that part is spread, so that pods that started together do not renew together (Istio: 0.01).
const JITTER: f64 = 0.01;
/// How far renewals are spread that a new root asks for, so that the CA is not asked by everybody at once.
const SPREAD: Duration = Duration::from_secs(1);
/// Wait before a certificate is asked for again that came of another root than the one that signs.
const AGAIN: Duration = Duration::from_secs(2);
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
    /// Where the certificate goes.
    pub certificate: Watched<Certificate>,
    /// Where the roots go that come with it, and what says which roots it is to lead to.
    pub trust: Trust,
    /// Where a copy with its key goes, for other processes of the workload; none: the key stays here.
    pub copy: Option<Watched<Svid>>,
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
                    let due = renew_at(&info, SystemTime::now(), fraction());
                    tokio::select! {
                        () = sleep_until(due) => {}
                        () = self.other_root() => {}
                    }
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
        let (key, copy) = match &self.copy {
            None => (WorkloadKey::generate()?, None),
            Some(cell) => {
                let (key, copy) = WorkloadKey::generate_with_copy()?;
                (key, Some((cell, copy)))
            }
        };
        let issued = self.issuer.issue(key.signing_request(&self.id)?, self.ttl).await?;
        let Issued { chain, roots } = issued;
        let certificate = Certificate::issued(chain, &key)?;
        let info = certificate.info().clone();
        let wanted = self.id.to_string();
        if info.uri_sans != [wanted.clone()] {
            return Err(CaError::WrongIdentity { wanted, found: info.uri_sans });
        }
        // Roots first: a peer may already use a certificate of a new root.
        self.trust.issued_with(roots)?;
        if let Some((cell, key)) = copy {
            let chain = certificate.chain().to_vec();
            cell.set(Arc::new(Svid { id: wanted, chain, key }));
        }
        self.certificate.set(Arc::new(certificate));
        Ok(info)
    }

    /// Until the certificate in force does not lead to a root that signs.
    async fn other_root(&self) {
        let mut seen = self.trust.signing().version();
        // One that has just come of such a root: the CA has not come as far as the control plane, or has turned back.
        if self.certificate.get().is_some_and(|c| !self.trust.is_current(&c)) {
            return tokio::time::sleep(AGAIN).await;
        }
        while self.certificate.get().is_none_or(|c| self.trust.is_current(&c)) {
            seen = self.trust.signing().changed_since(seen).await;
        }
        tracing::info!(id = %self.id, "another root signs now; renewing the certificate");
        tokio::time::sleep(SPREAD.mul_f64(fraction())).await;
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
