use super::*;
use crate::decide::balance::tests::endpoints;
use crate::runtime::cluster::{FailurePercentage, SuccessRate};

fn config() -> OutlierDetection {
    OutlierDetection {
        consecutive_5xx: 3,
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
    }
}

const START: Duration = Duration::from_secs(1000);

fn fail(d: &Detector, index: u32, times: u32) -> Option<Cause> {
    let causes = (0..times).filter_map(|_| d.record(index, Outcome::Status(503), START, 0));
    causes.fold(None, |_, cause| Some(cause))
}

#[test]
fn consecutive_failures_eject_and_time_brings_back() {
    let d = Detector::new(config(), &endpoints(&[1, 1]), None, START);
    assert_eq!(fail(&d, 0, 2), None);
    d.record(0, Outcome::Status(200), START, 0);
    assert_eq!(fail(&d, 0, 2), None, "a success starts the count again");
    assert_eq!(fail(&d, 0, 1), Some(Cause::Consecutive5xx));
    assert!(d.is_ejected(0) && d.generation() == 2);
    d.sweep(START + Duration::from_secs(29), 0);
    assert!(d.is_ejected(0));
    d.sweep(START + Duration::from_secs(30), 0);
    assert!(!d.is_ejected(0) && d.generation() == 3 && d.ejected() == 0);
    // The second time is twice as long.
    fail(&d, 0, 3);
    d.sweep(START + Duration::from_secs(59), 0);
    assert!(d.is_ejected(0));
    d.sweep(START + Duration::from_secs(60), 0);
    assert!(!d.is_ejected(0));
}

#[test]
fn the_percentage_caps_and_ten_percent_of_few_is_none() {
    let few = Detector::new(
        OutlierDetection { max_ejection_percent: 10, ..config() },
        &endpoints(&[1; 9]),
        None,
        START,
    );
    assert_eq!(fail(&few, 0, 3), None);
    let ten = Detector::new(
        OutlierDetection { max_ejection_percent: 10, ..config() },
        &endpoints(&[1; 10]),
        None,
        START,
    );
    assert!(fail(&ten, 0, 3).is_some() && fail(&ten, 1, 3).is_none());
    let one = OutlierDetection { max_ejection_percent: 0, always_eject_one: true, ..config() };
    assert!(fail(&Detector::new(one, &endpoints(&[1; 2]), None, START), 0, 3).is_some());
}

#[test]
fn gateway_failures_and_local_origin() {
    let gateway = OutlierDetection {
        consecutive_gateway: 2,
        enforcing_consecutive_gateway: 100,
        consecutive_5xx: 0,
        ..config()
    };
    let d = Detector::new(gateway, &endpoints(&[1]), None, START);
    d.record(0, Outcome::Status(502), START, 0);
    d.record(0, Outcome::Status(500), START, 0);
    assert_eq!(d.record(0, Outcome::LocalOrigin, START, 0), None);
    assert_eq!(d.record(0, Outcome::LocalOrigin, START, 0), Some(Cause::ConsecutiveGateway));
    let split = OutlierDetection { split_local_origin: true, consecutive_local_origin: 1, ..config() };
    let d = Detector::new(split, &endpoints(&[1]), None, START);
    assert_eq!(d.record(0, Outcome::LocalOrigin, START, 0), Some(Cause::ConsecutiveLocalOrigin));
}

#[test]
fn rates_are_compared_at_sweeps() {
    let rate = SuccessRate {
        enforcing: 100,
        enforcing_local_origin: 0,
        minimum_hosts: 5,
        request_volume: 10,
        stdev_factor: 1900,
    };
    let config = OutlierDetection { success_rate: Some(rate), consecutive_5xx: 0, ..config() };
    let d = Detector::new(config, &endpoints(&[1; 6]), None, START);
    for index in 0..6 {
        for n in 0..10 {
            let status = if index == 5 && n < 9 { 500 } else { 200 };
            d.record(index, Outcome::Status(status), START, 0);
        }
    }
    assert_eq!(d.sweep(START, 0), [(5, Cause::SuccessRate)]);
    let percentage = FailurePercentage {
        enforcing: 100,
        enforcing_local_origin: 0,
        threshold: 85,
        minimum_hosts: 1,
        request_volume: 10,
    };
    let config = OutlierDetection { success_rate: None, failure_percentage: Some(percentage), ..config };
    let d = Detector::new(config, &endpoints(&[1; 2]), None, START);
    (0..10).for_each(|n| {
        d.record(1, Outcome::Status(if n < 9 { 500 } else { 200 }), START, 0);
    });
    assert_eq!(d.sweep(START, 0), [(1, Cause::FailurePercentage)]);
}

#[test]
fn counts_survive_a_change_of_endpoints() {
    let old = Detector::new(config(), &endpoints(&[1, 1]), None, START);
    fail(&old, 1, 3);
    let new = Detector::new(config(), &endpoints(&[1, 1, 1]), Some(&old), START);
    assert!(new.is_ejected(1) && new.ejected() == 1);
}
