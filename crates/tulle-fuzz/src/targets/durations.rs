//! Durations as people write them.

use crate::Target;

pub(crate) const TARGET: Target = Target {
    name: "durations",
    run,
    words: &["ns", "us", "µs", "ms", "s", "m", "h", ".", "0", "-", "9999999", "1e9", "e"],
};

fn run(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(duration) = tulle_base::duration::parse(text) {
        let written = tulle_base::duration::to_json(duration);
        assert_eq!(
            tulle_base::duration::parse(&written).map(|d| near(d, duration)),
            Ok(true),
            "{text:?} {written}"
        );
    }
}

/// What is read back from decimals may differ in the last bits of a double.
fn near(a: std::time::Duration, b: std::time::Duration) -> bool {
    a.abs_diff(b).as_secs_f64() <= b.as_secs_f64() * 1e-15 + 1e-9
}
