//! What workloads and other trust domains send to the CA: signing requests and SPIFFE bundles.

use tulle_base::SpiffeId;
use tulle_ca::SigningRequest;
use tulle_identity::spiffe_bundle;

use crate::Target;

pub(crate) const TARGET: Target = Target {
    name: "identity_requests",
    run,
    words: &[
        "-----BEGIN CERTIFICATE REQUEST-----",
        "-----END CERTIFICATE REQUEST-----",
        "\"keys\"",
        "\"use\":\"x509-svid\"",
        "\"x5c\"",
        "spiffe://cluster.local/ns/shop/sa/cart",
        "MIIB",
    ],
};

fn run(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(request) = SigningRequest::read(text) {
        assert!(!request.public_key().is_empty());
        // It may ask for no name, or for that of one caller.
        let is = |account: &str| request.check(&SpiffeId::new("cluster.local", "shop", account), &[]).is_ok();
        assert_eq!(is("cart") && is("pay"), is("cart") && is("somebody-else"));
    }
    if let Ok(roots) = spiffe_bundle::read(text) {
        // Keys of other kinds than EC and RSA are left out.
        let again = spiffe_bundle::write(&roots);
        let kept = again["keys"].as_array().map_or(0, Vec::len);
        assert_eq!(spiffe_bundle::read(&again.to_string()).map_or(0, |roots| roots.len()), kept);
    }
}
