//! What a certificate says, for status pages, metrics and logs.

use std::time::SystemTime;

use rustls_pki_types::CertificateDer;
use x509_parser::prelude::*;

use crate::material::MaterialError;

/// The public facts of one certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertInfo {
    /// Serial number in lower-case hex without leading zeros, as Envoy's `/certs` prints it.
    pub serial: String,
    /// Distinguished name of the subject (RFC 4514 order as written); empty for an SVID.
    pub subject: String,
    /// Subject alternative names of type URI.
    pub uri_sans: Vec<String>,
    /// Subject alternative names of type DNS.
    pub dns_sans: Vec<String>,
    /// Seconds since the epoch from which the certificate is valid.
    pub not_before: i64,
    /// Seconds since the epoch at which it stops being valid.
    pub not_after: i64,
}

impl CertInfo {
    /// Reads a certificate.
    ///
    /// # Errors
    /// [`MaterialError::NotACertificate`] when the bytes are not an X.509 certificate.
    pub fn read(der: &CertificateDer<'_>) -> Result<Self, MaterialError> {
        let (_, cert) = X509Certificate::from_der(der).map_err(|_| MaterialError::NotACertificate)?;
        let (mut uri_sans, mut dns_sans) = (Vec::new(), Vec::new());
        if let Ok(Some(sans)) = cert.subject_alternative_name() {
            for name in &sans.value.general_names {
                match name {
                    GeneralName::URI(uri) => uri_sans.push((*uri).to_owned()),
                    GeneralName::DNSName(dns) => dns_sans.push((*dns).to_owned()),
                    _ => {}
                }
            }
        }
        let serial = cert.raw_serial().iter().map(|b| format!("{b:02x}")).collect::<String>();
        let trimmed = serial.trim_start_matches('0');
        Ok(Self {
            serial: if trimmed.is_empty() { "0".to_owned() } else { trimmed.to_owned() },
            subject: cert.subject().to_string(),
            uri_sans,
            dns_sans,
            not_before: cert.validity().not_before.timestamp(),
            not_after: cert.validity().not_after.timestamp(),
        })
    }

    /// Seconds until the certificate expires; negative once it has.
    pub fn seconds_left(&self, now: SystemTime) -> i64 {
        self.not_after - unix_seconds(now)
    }
}

/// Seconds since the epoch; 0 for a clock set before 1970.
fn unix_seconds(now: SystemTime) -> i64 {
    now.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |d| i64::try_from(d.as_secs()).unwrap_or(i64::MAX))
}
