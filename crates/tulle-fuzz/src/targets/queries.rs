//! PromQL, evaluated over a store with one series, and selectors.

use std::sync::OnceLock;

use tulle_dashboard::query::{QueryLimits, instant, range, selectors};
use tulle_dashboard::store::{Description, Kind, Limits, Store, Tick, Value};

use crate::Target;

pub(crate) const TARGET: Target = Target {
    name: "queries",
    run,
    words: &[
        "rate(",
        "sum by (",
        "a",
        "{b=~\"",
        "\"}",
        "[5m]",
        "[1m:5s]",
        " offset ",
        " @ ",
        "end()",
        ")",
        "(",
        " + on(b) ",
        "group_left ",
        "histogram_quantile(",
        "label_replace(",
        "topk(",
        "-",
        "1e9",
        "NaN",
        " bool ",
        "#",
    ],
};

const TIME: i64 = 1_700_000_000_000;

fn run(bytes: &[u8]) {
    static STORE: OnceLock<Store> = OnceLock::new();
    let store = STORE.get_or_init(|| {
        let store = Store::new(Limits::default());
        let source = store.source("fuzz");
        let described = Description { name: "a", kind: Kind::Counter, labels: &[("b", "c")], bounds: &[] };
        if let Ok(series) = store.define(source, &described) {
            for (at, number) in (0_i32..20).zip(1_u8..) {
                let time = TIME - 100_000 + i64::from(at) * 5_000;
                let _ =
                    store.tick(source, &Tick { time, changed: &[(series, Value::Number(number.into()))] });
            }
        }
        store
    });
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let limits = QueryLimits { values: 100_000, samples: 100_000, ..QueryLimits::default() };
    let _ = instant(store, text, TIME, &limits);
    let _ = range(store, text, (TIME - 60_000, TIME, 7_000), &limits);
    let _ = selectors(text);
}
