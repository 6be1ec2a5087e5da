//! The store against a model that keeps everything, through resets, gaps, clocks set back and restarts.

use std::collections::BTreeMap;
use std::path::Path;

use proptest::prelude::*;
use tulle_dashboard::store::{
    Buckets, Description, Kind, Limits, Matcher, Refusal, Selected, SeriesRef, SourceRef, Store, Tick, Value,
    Wanted, is_stale,
};

const BEGIN: i64 = 1_700_000_000_000;
const MINUTE: i64 = 60_000;
const SERIES: usize = 6;

#[derive(Clone, Debug)]
enum Step {
    /// A tick of a source this much later: (series, growth); a negative growth is a restart of the counter.
    Tick(usize, i64, Vec<(usize, i32)>),
    /// The clock goes on while nobody ticks.
    Pause(i64),
    /// The clock is set back.
    Back(i64),
    /// A series ends.
    End(usize),
    Sweep,
    Restart,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let changes = prop::collection::vec((0..SERIES, -3..20_i32), 0..4);
    let step = prop_oneof![
        20 => (0..2_usize, prop_oneof![8 => Just(5000_i64), 1 => 1..9000_i64, 1 => Just(40_000_i64)], changes)
            .prop_map(|(source, dt, changes)| Step::Tick(source, dt, changes)),
        1 => (1..3_600_000_i64).prop_map(Step::Pause),
        1 => (3_000..120_000_i64).prop_map(Step::Back),
        1 => (0..SERIES).prop_map(Step::End),
        2 => Just(Step::Sweep),
        1 => Just(Step::Restart),
    ];
    prop::collection::vec(step, 1..150)
}

#[derive(Default)]
struct Modelled {
    value: f64,
    samples: Vec<(i64, Option<f64>)>,
}

impl Modelled {
    fn live(&self) -> bool {
        self.samples.last().is_some_and(|(_, v)| v.is_some())
    }
}

struct Model {
    now: i64,
    last: [i64; 2],
    live: [bool; 2],
    anew: [bool; 2],
    series: Vec<Modelled>,
}

impl Model {
    fn end(&mut self, series: usize, time: i64) {
        if self.series[series].live() {
            self.series[series].samples.push((time, None));
        }
    }

    fn sweep(&mut self) {
        for source in 0..2 {
            if self.live[source] && self.last[source] < self.now - 30_000 {
                let time = self.last[source] + 30_000;
                (source..SERIES).step_by(2).for_each(|s| self.end(s, time));
                self.live[source] = false;
            }
        }
    }
}

/// The store with its handles, which a restart makes anew.
struct Real {
    store: Store,
    sources: [SourceRef; 2],
    series: Vec<SeriesRef>,
}

fn open(folder: &Path, now: i64) -> Real {
    let (store, messages) = Store::open(Limits::default(), folder.to_owned(), now).expect("a folder");
    assert_eq!(messages, Vec::<String>::new());
    let sources = [store.source("a"), store.source("b")];
    let mut real = Real { store, sources, series: Vec::new() };
    real.define();
    real
}

impl Real {
    /// Describes all series, as a source does that begins, or whose series had to go.
    fn define(&mut self) {
        let one = |i: usize| {
            let id = i.to_string();
            let labels = [("id", id.as_str()), ("app", "cart")];
            let kind = if i < 4 { Kind::Counter } else { Kind::Histogram };
            let bounds: &[f64] = if i < 4 { &[] } else { &[0.5, 1.0] };
            let described = Description { name: "requests", kind, labels: &labels, bounds };
            self.store.define(self.sources[i % 2], &described).expect("room")
        };
        self.series = (0..SERIES).map(one).collect();
    }
}

/// A histogram has its whole count in its second bucket, so that one number says what it is.
fn value(series: usize, number: f64) -> Value {
    if series < 4 {
        return Value::Number(number);
    }
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small whole numbers")]
    let counts = Box::new([0, number as u64, 0]);
    Value::Histogram(Buckets { counts, sum: number / 2.0 })
}

fn select(store: &Store, from: i64, to: i64) -> BTreeMap<usize, Selected> {
    let matchers: [Matcher; 0] = [];
    let wanted =
        Wanted { matchers: &matchers, from, to, samples: true, max_series: 1000, max_samples: 10_000_000 };
    let all = store.select(&wanted).expect("few");
    all.into_iter()
        .filter(|s| matches!(&*s.name, "requests" | "requests_count"))
        .map(|s| {
            let id = s.labels.iter().find(|(n, _)| &**n == "id").expect("an id").1.parse().expect("a number");
            (id, s)
        })
        .collect()
}

fn samples(found: Option<&Selected>) -> Vec<(i64, Option<f64>)> {
    let all = found.map(|s| s.samples.clone()).unwrap_or_default();
    all.into_iter().map(|(t, v)| (t, (!is_stale(v)).then_some(v))).collect()
}

fn increase(samples: &[(i64, Option<f64>)]) -> f64 {
    let values: Vec<f64> = samples.iter().filter_map(|(_, v)| *v).collect();
    values.windows(2).map(|w| if w[1] < w[0] { w[1] } else { w[1] - w[0] }).sum()
}

fn apply(step: &Step, model: &mut Model, real: &mut Real, folder: &Path) {
    match step {
        Step::Tick(source, dt, changes) => {
            model.now += dt;
            real.define();
            let mut changed = Vec::new();
            for (series, growth) in changes {
                let series = series / 2 * 2 + source;
                let modelled = &mut model.series[series];
                let already = changed.iter().any(|(s, _)| *s == real.series[series]);
                if already {
                    continue;
                }
                modelled.value =
                    if *growth < 0 { f64::from(-growth) } else { modelled.value + f64::from(*growth) };
                changed.push((real.series[series], value(series, modelled.value)));
                modelled.samples.push((model.now, Some(modelled.value)));
            }
            let outcome =
                real.store.tick(real.sources[*source], &Tick { time: model.now, changed: &changed });
            let anew = std::mem::take(&mut model.anew[*source]);
            assert_eq!(outcome, if anew { Err(Refusal::Evicted) } else { Ok(()) });
            for series in (*source..SERIES).step_by(2) {
                let modelled = &mut model.series[series];
                if modelled.live() && modelled.samples.last().is_some_and(|(t, _)| *t != model.now) {
                    let again = modelled.samples.iter().rev().find_map(|(_, v)| *v);
                    modelled.samples.push((model.now, again));
                }
            }
            (model.last[*source], model.live[*source]) = (model.now, true);
        }
        Step::Pause(time) => model.now += time,
        Step::Back(time) => {
            // Whoever ticks next tells the store.
            let latest = model.last.into_iter().max().unwrap_or(model.now);
            model.now = latest - time;
            model.now += 1;
            for series in &mut model.series {
                series.samples.retain(|(t, _)| *t < model.now);
                series.value = series.samples.iter().rev().find_map(|(_, v)| *v).unwrap_or(0.0);
            }
            model.last = model.last.map(|l| l.min(model.now - 1));
            model.anew = [true; 2];
            for source in 0..2 {
                let alive = |s: &usize| model.series[*s].live();
                let all = (source..SERIES).step_by(2).filter(alive).map(|s| (s, 0)).collect();
                let dt = i64::try_from(source).unwrap_or(0);
                apply(&Step::Tick(source, dt, all), model, real, folder);
            }
        }
        Step::End(series) => {
            model.now += 1;
            model.end(*series, model.now);
            real.store.end(real.sources[series % 2], model.now, &[real.series[*series]]);
        }
        Step::Sweep => {
            model.sweep();
            real.store.sweep(model.now);
        }
        Step::Restart => {
            model.sweep();
            *real = open(folder, model.now);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_is_lost_at_full_resolution_and_no_increase_at_any(steps in steps()) {
        let folder = tempfile::tempdir().expect("a folder");
        let mut real = open(folder.path(), BEGIN);
        let mut model = Model {
            now: BEGIN,
            last: [i64::MIN; 2],
            live: [false; 2],
            anew: [false; 2],
            series: (0..SERIES).map(|_| Modelled::default()).collect(),
        };
        for step in &steps {
            if matches!(step, Step::Back(_)) && model.last.contains(&i64::MIN) {
                continue;
            }
            apply(step, &mut model, &mut real, folder.path());
        }
        let latest = model.last.into_iter().max().unwrap_or(0).max(BEGIN);
        let recent = select(&real.store, latest - 14 * MINUTE, i64::MAX);
        let all = select(&real.store, 0, i64::MAX);
        for (id, modelled) in model.series.iter().enumerate() {
            let expected: Vec<_> =
                modelled.samples.iter().filter(|(t, _)| *t >= latest - 14 * MINUTE).copied().collect();
            prop_assert_eq!(samples(recent.get(&id)), expected, "series {} of {:?}", id, steps);
            let kept = samples(all.get(&id));
            prop_assert_eq!(increase(&kept), increase(&modelled.samples), "series {}: {:?}", id, kept);
            prop_assert!(kept.windows(2).all(|w| w[0].0 < w[1].0));
        }
        prop_assert_eq!(real.store.stats().losses.values, 0);
    }
}

/// Ticks of ten days: what is kept of them at which resolution.
#[test]
fn old_samples_are_coarser_and_then_gone() {
    let store = Store::new(Limits::default());
    let source = store.source("a");
    let described = Description { name: "requests", kind: Kind::Counter, labels: &[], bounds: &[] };
    let series = store.define(source, &described).expect("room");
    let days = 10;
    let end = BEGIN + days * 24 * 60 * MINUTE;
    let mut time = BEGIN;
    while time < end {
        // Hours of silence would end it.
        let changed = [(series, value(0, ((time - BEGIN) / 1000) as f64))];
        store.tick(source, &Tick { time, changed: &changed }).expect("in order");
        time += if end - time > 8 * 60 * MINUTE { 20_000 } else { 5_000 };
        if time % (10 * MINUTE) == 0 {
            store.sweep(time);
        }
    }
    let wanted =
        Wanted { matchers: &[], from: 0, to: i64::MAX, samples: true, max_series: 10, max_samples: 100_000 };
    let found = store.select(&wanted).expect("few");
    let samples = &found[0].samples;
    let within = |from: i64, to: i64| {
        let some = samples.iter().filter(|(t, _)| *t > end - to * MINUTE && *t <= end - from * MINUTE);
        some.count()
    };
    assert!((175..=181).contains(&within(0, 15)), "{}", within(0, 15));
    assert!((55..=62).contains(&within(60, 120)), "{}", within(60, 120));
    assert!((92..=98).contains(&within(24 * 60, 48 * 60)), "{}", within(24 * 60, 48 * 60));
    assert_eq!(within(9 * 24 * 60, 10 * 24 * 60), 0);
    assert!(found[0].every(end) == 0 && found[0].every(end - 60 * MINUTE) == MINUTE);
}
