//! Signing keys and the certificate signing service.
