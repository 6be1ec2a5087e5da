//! SPIFFE identities as X.509 SVIDs and the TLS configuration made from them.
