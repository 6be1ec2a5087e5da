//! What a listener reads before it knows what a connection is: TLS ClientHellos and headers of the PROXY protocol.

use tulle_proxy::parsers::{First, client_hello, proxy_protocol};

use crate::Target;

pub(crate) const TARGET: Target = Target {
    name: "first_bytes",
    run,
    words: &[
        "PROXY TCP4 192.0.2.1 10.0.0.2 56324 443\r\n",
        "PROXY TCP6 ",
        "PROXY UNKNOWN\r\n",
        "2001:db8::1 ",
        "\r\n\r\n\u{0}\r\nQUIT\n",
        "!\u{11}\u{0}\u{c}",
        "\u{16}\u{3}\u{1}\u{2}\u{0}\u{1}\u{0}",
        "\u{0}\u{0}",
        "\u{0}\u{10}",
        "\u{2}h2",
        "a.test",
    ],
};

/// The first byte says where the bytes are cut.
fn run(bytes: &[u8]) {
    let Some((cut, bytes)) = bytes.split_first() else { return };
    let cut = bytes.len() * usize::from(*cut) / 256;
    for look in [client_hello, proxy_protocol] {
        let (whole, part) = (look(bytes), look(&bytes[..cut]));
        if let First::Read(Some(len), _) = &whole {
            assert!(*len <= bytes.len(), "a header of {len} of {} bytes", bytes.len());
            assert_eq!(look(&bytes[..*len]), whole, "the header alone says the same");
        }
        // What was said of the beginning holds for the whole.
        if part != First::More && cut > 0 {
            assert_eq!(part, whole, "of {cut} of {} bytes", bytes.len());
        }
    }
}
