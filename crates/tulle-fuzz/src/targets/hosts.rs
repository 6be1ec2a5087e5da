//! Names: hosts and their wildcards, SPIFFE ids, localities, addresses of configuration.

use tulle_base::Host;

use crate::Target;

pub(crate) const TARGET: Target = Target {
    name: "hosts",
    run,
    words: &[
        "*",
        "*.",
        ".",
        "a.example.com",
        "spiffe://",
        "/ns/",
        "/sa/",
        "cluster.local",
        "/",
        "ä",
        "\u{0}",
    ],
};

fn run(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let (first, second) = text.split_once('\n').unwrap_or((text, "*.example.com"));
    let (a, b) = (Host::new(first), Host::new(second));
    assert!(a.covers(&a));
    assert_eq!(a.overlaps(&b), b.overlaps(&a));
    if a.covers(&b) {
        assert!(a.overlaps(&b));
    }
    assert_eq!(a.cmp(&b), b.cmp(&a).reverse());
    let _ = a.matches(&second.to_ascii_lowercase());
    let locality = tulle_base::Locality::parse(text);
    let _ = locality.is_empty();
    let _ = tulle_base::nearest::nearest(first, [second, "weight"]);
    if let Ok(id) = tulle_base::SpiffeId::parse(first) {
        let again = tulle_base::SpiffeId::parse(&id.to_string());
        assert_eq!(again.map(|i| i.to_string()).ok(), Some(id.to_string()));
    }
}
