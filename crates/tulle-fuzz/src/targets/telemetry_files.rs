//! Files of the telemetry store: whole ones, and payloads whose checksum is right.

use tulle_dashboard::store::{check_segment, framed};

use crate::Target;

pub(crate) const TARGET: Target = Target {
    name: "telemetry_files",
    run,
    words: &["TULLETS1", "\u{1}\u{1}a", "\u{2}", "\u{3}", "\u{4}", "\u{5}", "\u{6}", "\u{7}"],
};

fn run(bytes: &[u8]) {
    let _ = check_segment(bytes);
    let _ = check_segment(&framed(bytes));
}
