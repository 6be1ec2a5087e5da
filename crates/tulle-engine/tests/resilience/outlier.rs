//! Outlier detection: who is out, after every request and every sweep of a day.

use std::time::Duration;

use proptest::prelude::*;
use tulle_engine::decide::outlier::{Detector, Outcome, State};
use tulle_engine::runtime::cluster::{FailurePercentage, OutlierDetection, SuccessRate};
use tulle_engine::runtime::endpoint::Health;

use crate::endpoints;

const DAY: u64 = 24 * 3600 * 1000;

/// What the model knows of an endpoint. Times are in milliseconds.
#[derive(Clone, Default)]
struct Host {
    fivexx: u32,
    gateway: u32,
    local: u32,
    answers: (u32, u32),
    reached: (u32, u32),
    /// When it was ejected, and for how many base times.
    out: Option<(u64, u32)>,
    back_off: u32,
    proved: bool,
    /// How often it was ejected.
    ejections: u64,
}

struct Model {
    config: OutlierDetection,
    hosts: Vec<Host>,
}

impl Model {
    fn out(&self) -> usize {
        self.hosts.iter().filter(|h| h.out.is_some()).count()
    }

    fn eject(&mut self, index: usize, now: u64) {
        let room = 100.0 * (self.out() + 1) as f64 / self.hosts.len() as f64
            <= f64::from(self.config.max_ejection_percent);
        let room = room || (self.config.always_eject_one && self.out() == 0);
        let (base, longest) = (millis(self.config.base_ejection), millis(self.config.max_ejection));
        let host = &mut self.hosts[index];
        if host.out.is_some() || !room {
            return;
        }
        if base * u64::from(host.back_off) < longest + base {
            host.back_off += 1;
        }
        host.out = Some((now, host.back_off));
        host.ejections += 1;
        host.proved = false;
    }

    fn request(&mut self, index: usize, outcome: Outcome, now: u64) {
        let c = self.config;
        let host = &mut self.hosts[index];
        // The status that a failure counts as, where it is not split off.
        let status = match outcome {
            Outcome::Status(status) => status,
            Outcome::Connected => {
                if c.split_local_origin {
                    host.local = 0;
                    host.reached.0 += 1;
                    host.reached.1 += 1;
                }
                return;
            }
            Outcome::LocalOrigin if c.split_local_origin => {
                host.local += 1;
                host.reached.1 += 1;
                if host.local == c.consecutive_local_origin {
                    host.local = 0;
                    if c.enforcing_consecutive_local_origin == 100 {
                        self.eject(index, now);
                    }
                }
                return;
            }
            Outcome::LocalOrigin => 503,
        };
        host.answers.1 += 1;
        if status < 500 {
            host.answers.0 += 1;
            (host.fivexx, host.gateway) = (0, 0);
            host.proved |= host.out.is_none();
            return;
        }
        host.gateway = if matches!(status, 502..=504) { host.gateway + 1 } else { 0 };
        host.fivexx += 1;
        let mut out = false;
        if host.gateway == c.consecutive_gateway && host.gateway > 0 {
            host.gateway = 0;
            out |= c.enforcing_consecutive_gateway == 100;
        }
        if host.fivexx == c.consecutive_5xx {
            host.fivexx = 0;
            out |= c.enforcing_consecutive_5xx == 100;
        }
        if out {
            self.eject(index, now);
        }
    }

    /// `seen` is who is out by the code, and how often was, for what chance decides: a return within the jitter.
    fn sweep(&mut self, now: u64, seen: &dyn Fn(usize) -> (bool, u64)) {
        let (base, longest) = (millis(self.config.base_ejection), millis(self.config.max_ejection));
        let jitter = millis(self.config.max_ejection_jitter);
        for (index, host) in self.hosts.iter_mut().enumerate() {
            let Some((since, times)) = host.out else {
                host.back_off = host.back_off.saturating_sub(1);
                continue;
            };
            let earliest = since + (base * u64::from(times)).min(longest);
            // One that was let back may have been ejected again at once.
            let still_out = seen(index) == (true, host.ejections);
            if now >= earliest && (now >= earliest + jitter || !still_out) {
                (host.out, host.fivexx, host.gateway, host.local) = (None, 0, 0, 0);
            }
        }
        for local in [false, true] {
            let rates: Vec<(usize, u32, u32)> = (0..self.hosts.len())
                .map(|i| (i, if local { self.hosts[i].reached } else { self.hosts[i].answers }))
                .filter(|(i, _)| self.hosts[*i].out.is_none())
                .map(|(i, (ok, all))| (i, ok, all))
                .collect();
            for host in &mut self.hosts {
                *(if local { &mut host.reached } else { &mut host.answers }) = (0, 0);
            }
            if let Some(c) = self.config.success_rate
                && (if local { c.enforcing_local_origin } else { c.enforcing }) == 100
            {
                let enough: Vec<(usize, f64)> = rates
                    .iter()
                    .filter(|(_, _, all)| *all > 0 && *all >= c.request_volume)
                    .map(|(i, ok, all)| (*i, 100.0 * f64::from(*ok) / f64::from(*all)))
                    .collect();
                if !enough.is_empty() && enough.len() >= c.minimum_hosts as usize {
                    let n = enough.len() as f64;
                    let mean = enough.iter().map(|e| e.1).sum::<f64>() / n;
                    let deviation = (enough.iter().map(|e| (e.1 - mean).powi(2)).sum::<f64>() / n).sqrt();
                    let least = mean - deviation * f64::from(c.stdev_factor) / 1000.0;
                    for (index, rate) in enough {
                        // On the edge rounding decides.
                        if rate < least - 1e-9 || (rate < least + 1e-9 && seen(index).0) {
                            self.eject(index, now);
                        }
                    }
                }
            }
            if let Some(c) = self.config.failure_percentage
                && (if local { c.enforcing_local_origin } else { c.enforcing }) == 100
            {
                let enough: Vec<_> =
                    rates.iter().filter(|(_, _, all)| *all > 0 && *all >= c.request_volume).collect();
                if enough.len() >= c.minimum_hosts as usize {
                    for (index, ok, all) in enough {
                        if (all - ok) * 100 >= c.threshold * all {
                            self.eject(*index, now);
                        }
                    }
                }
            }
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap()
}

prop_compose! {
    fn config()(
        fivexx in 0u32..8,
        gateway in 0u32..6,
        local in 0u32..6,
        enforce in prop::array::uniform7(prop::bool::ANY),
        split in prop::bool::ANY,
        seconds in (1u64..60, 1u64..90, 60u64..600),
        jitter in prop_oneof![Just(0u64), 1u64..20_000],
        percent in prop_oneof![Just(10u32), 0u32..=100, Just(100)],
        one in prop::bool::ANY,
        rate in prop::option::of((1u32..6, 0u32..60, 0u32..3000)),
        failing in prop::option::of((1u32..6, 0u32..60, 1u32..=100)),
    ) -> OutlierDetection {
        let on = |i: usize| if enforce[i] { 100 } else { 0 };
        let (interval, base, longest) = seconds;
        OutlierDetection {
            consecutive_5xx: fivexx,
            enforcing_consecutive_5xx: on(0),
            consecutive_gateway: gateway,
            enforcing_consecutive_gateway: on(1),
            split_local_origin: split,
            consecutive_local_origin: local,
            enforcing_consecutive_local_origin: on(2),
            interval: Duration::from_secs(interval),
            base_ejection: Duration::from_secs(base),
            max_ejection: Duration::from_secs(longest.max(base)),
            max_ejection_jitter: Duration::from_millis(jitter),
            max_ejection_percent: percent,
            always_eject_one: one,
            success_rate: rate.map(|(minimum_hosts, request_volume, stdev_factor)| SuccessRate {
                enforcing: on(3),
                enforcing_local_origin: if split { on(4) } else { 0 },
                minimum_hosts,
                request_volume,
                stdev_factor,
            }),
            failure_percentage: failing.map(|(minimum_hosts, request_volume, threshold)| FailurePercentage {
                enforcing: on(5),
                enforcing_local_origin: if split { on(6) } else { 0 },
                threshold,
                minimum_hosts,
                request_volume,
            }),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn who_is_out_over_a_day(config in config(), hosts in 1usize..14, seed: u64) {
        a_day(config, hosts, seed)?;
    }
}

fn a_day(config: OutlierDetection, hosts: usize, seed: u64) -> Result<(), TestCaseError> {
    let mut rng = fastrand::Rng::with_seed(seed);
    let list = vec![(0, Health::Healthy); hosts];
    let mut detector = Detector::new(config, &endpoints(0, &list), None, Duration::ZERO);
    let mut model = Model { config, hosts: vec![Host { proved: true, ..Host::default() }; hosts] };
    let (mut now, mut next_sweep) = (0u64, millis(config.interval));
    // How bad each endpoint is at the moment, in percent.
    let mut badness: Vec<u32> = vec![0; hosts];
    while now < DAY {
        // Bursts of requests, and long silences.
        let wait = if rng.u32(..40) == 0 { rng.u64(..3_600_000) } else { rng.u64(..2_000) };
        let until = now + wait;
        while next_sweep <= until {
            now = next_sweep;
            detector.sweep(Duration::from_millis(now), rng.u64(..));
            model.sweep(now, &|i| {
                let monitor = detector.monitor(u32::try_from(i).unwrap()).unwrap();
                (monitor.is_ejected(), monitor.ejections())
            });
            next_sweep = now + millis(config.interval);
            prop_assert_eq!(detector.due_in(Duration::from_millis(now)), config.interval);
            agree(&model, &detector, now)?;
        }
        now = until;
        if rng.u32(..50) == 0 {
            badness.fill_with(|| if rng.bool() { 0 } else { rng.u32(..=100) });
        }
        if rng.u32(..500) == 0 {
            // Endpoints come and go; those that stay keep what is known of them.
            let gone = rng.usize(..hosts);
            let first = endpoints(0, &list);
            let mut changed = first.clone();
            changed.endpoints[gone] =
                std::sync::Arc::clone(&endpoints(1000 + rng.usize(..1000), &list).endpoints[0]);
            let at = Duration::from_millis(now);
            let without = Detector::new(config, &changed, Some(&detector), at);
            detector = Detector::new(config, &first, Some(&without), at);
            model.hosts[gone] = Host { proved: true, ..Host::default() };
        }
        let index = rng.usize(..hosts);
        let outcome = match (rng.u32(..100) < badness[index], rng.u32(..8)) {
            (true, 0 | 1) => Outcome::LocalOrigin,
            (true, 2) => Outcome::Status(500),
            (true, n) => Outcome::Status(if n == 3 { 599 } else { 503 }),
            (false, 0) => Outcome::Connected,
            (false, _) => Outcome::Status(*rng.choice([200, 301, 404, 499].iter()).unwrap()),
        };
        let at = Duration::from_millis(now);
        detector.record(u32::try_from(index).unwrap(), outcome, at, rng.u64(..));
        model.request(index, outcome, now);
        agree(&model, &detector, now)?;
    }
    Ok(())
}

fn agree(model: &Model, detector: &Detector, now: u64) -> Result<(), TestCaseError> {
    for (index, host) in model.hosts.iter().enumerate() {
        let want = match (host.out.is_some(), host.proved) {
            (true, _) => State::Open,
            (false, true) => State::Closed,
            (false, false) => State::HalfOpen,
        };
        let is = detector.monitor(u32::try_from(index).unwrap()).unwrap().state();
        prop_assert_eq!(is, want, "endpoint {} at {} ms", index, now);
    }
    prop_assert_eq!(detector.ejected() as usize, model.out());
    Ok(())
}

/// The case that the documentation tells: five errors, out for 30 s, the second time for 60 s; calm times forgive.
#[test]
fn the_time_out_grows_and_shrinks_again() {
    let config = OutlierDetection {
        consecutive_5xx: 5,
        enforcing_consecutive_5xx: 100,
        consecutive_gateway: 0,
        enforcing_consecutive_gateway: 0,
        split_local_origin: false,
        consecutive_local_origin: 5,
        enforcing_consecutive_local_origin: 100,
        interval: Duration::from_secs(10),
        base_ejection: Duration::from_secs(30),
        max_ejection: Duration::from_secs(300),
        max_ejection_jitter: Duration::ZERO,
        max_ejection_percent: 100,
        always_eject_one: false,
        success_rate: None,
        failure_percentage: None,
    };
    let set = endpoints(0, &[(0, Health::Healthy); 2]);
    let detector = Detector::new(config, &set, None, Duration::ZERO);
    let mut now = 0;
    let mut time_out = |calm: u64| {
        for _ in 0..calm {
            now += 10;
            detector.sweep(Duration::from_secs(now), 0);
        }
        for _ in 0..5 {
            detector.record(0, Outcome::Status(503), Duration::from_secs(now), 0);
        }
        let begin = now;
        while detector.is_ejected(0) {
            now += 10;
            detector.sweep(Duration::from_secs(now), 0);
        }
        now - begin
    };
    let growing: Vec<u64> = (0..12).map(|_| time_out(0)).collect();
    assert_eq!(growing, [30, 60, 90, 120, 150, 180, 210, 240, 270, 300, 300, 300]);
    assert_eq!(time_out(5), 210, "eleven times, five forgiven, one more");
    assert_eq!(time_out(100), 30);
}
