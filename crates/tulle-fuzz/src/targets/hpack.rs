//! Field blocks of HTTP/2 (RFC 7541).

use tulle_http::hpack::{Decoder, huffman_decode, huffman_encode};
use tulle_http::{HeaderList, Limits};

use crate::Target;

pub(crate) const TARGET: Target = Target {
    name: "hpack",
    run,
    words: &["\u{40}\u{1}a\u{1}b", "\u{0}\u{1}a\u{1}b", "\u{3f}\u{61}", "cookie", "\u{7f}"],
};

fn run(bytes: &[u8]) {
    let [step, rest @ ..] = bytes else { return };
    let mut decoder = Decoder::new(4096);
    for block in rest.chunks(usize::from(*step).max(1)) {
        let mut list = HeaderList::new();
        if decoder.decode(block, &Limits::default(), &mut list).is_err() {
            break;
        }
        assert!(list.len() <= Limits::default().headers);
    }
    let mut plain = Vec::new();
    let _ = huffman_decode(rest, &mut plain);
    let (mut code, mut again) = (Vec::new(), Vec::new());
    huffman_encode(rest, &mut code);
    assert!(huffman_decode(&code, &mut again).is_ok() && again == rest);
}
