//! Writes files of a small telemetry store into the folder that is named: seeds for fuzzers.

use tulle_dashboard::store::{Buckets, Description, Kind, Limits, Store, Tick, Value};

fn main() -> std::io::Result<()> {
    let folder = std::env::args().nth(1).unwrap_or_else(|| "telemetry".to_owned());
    let begin = 1_700_000_000_000;
    let (store, _) = Store::open(Limits::default(), folder.into(), begin)?;
    let source = store.source("cart-1.shop");
    let labels = [("reporter", "source"), ("response_code", "200")];
    let counter = Description { name: "requests", kind: Kind::Counter, labels: &labels, bounds: &[] };
    let histogram =
        Description { name: "duration", kind: Kind::Histogram, labels: &labels, bounds: &[0.5, 1.0] };
    let (Ok(counter), Ok(histogram)) = (store.define(source, &counter), store.define(source, &histogram))
    else {
        return Ok(());
    };
    for i in 0..20_u32 {
        let buckets = Buckets { counts: Box::new([0, u64::from(i) * 3, 1]), sum: f64::from(i) / 2.0 };
        let number = if i == 12 { 1.0 } else { f64::from(i) };
        let changed = [(counter, Value::Number(number)), (histogram, Value::Histogram(buckets))];
        // Always in order.
        let _ = store.tick(source, &Tick { time: begin + i64::from(i) * 7_000, changed: &changed });
    }
    store.end(source, begin + 200_000, &[counter]);
    // The clock is set back, which it says.
    let _ = store.tick(source, &Tick { time: begin + 190_000, changed: &[] });
    Ok(())
}
