//! Packets that applications send to the proxy's DNS.

use tulle_proxy::parsers::dns;

use crate::Target;

pub(crate) const TARGET: Target = Target {
    name: "dns",
    run,
    words: &[
        "\u{1}a\u{4}test\u{0}\u{0}\u{1}\u{0}\u{1}",
        "\u{4}many\u{4}test\u{0}\u{0}\u{1c}\u{0}\u{1}",
        "\u{0}\u{ff}",
        "\u{1}*",
        "\u{0}\u{0})\u{10}\u{0}",
    ],
};

/// Longest packet of UDP.
const LONGEST: usize = 65_535;

/// The first byte says whether it comes by UDP.
fn run(bytes: &[u8]) {
    let Some((choice, packet)) = bytes.split_first() else { return };
    let many: Vec<String> = (1..=200).map(|n| format!("10.0.0.{n}")).chain(["fd00::1".to_owned()]).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let names: [(&str, &[&str]); 3] =
        [("a.test", &["10.0.0.1", "fd00::1"]), ("many.test", &many), ("*.wild.test", &["10.0.0.2"])];
    let Some(answer) = dns(&names, packet, choice & 1 == 0) else { return };
    assert!(answer.len() >= 12 && answer.len() <= LONGEST, "{} bytes", answer.len());
    assert_eq!(answer[..2], packet[..2], "the answer has the question's number");
    assert!(answer[2] & 0x80 != 0, "an answer says that it is one");
    // Our own answers are no questions: two such servers must not talk for ever.
    assert_eq!(dns(&names, &answer, true), None);
}
