//! Retries that the timeout of the route leaves no time for.

use std::time::Duration;

use tulle_base::Severity;

use crate::analyzer::{Analyzer, Findings};
use crate::reason::routes::http_routes;
use crate::whole::Whole;

/// Tries, their timeouts and the pauses between them do not fit into the timeout of the route.
pub(super) const ANALYZER: Analyzer = Analyzer {
    code: "TUL0303",
    name: "RetriesOverTimeout",
    severity: Severity::Warning,
    about: "Tries, their timeouts and the pauses between them do not fit into the timeout of the route",
    check,
};

/// Base of the pauses between tries when none is written (Istio).
const BACKOFF: Duration = Duration::from_millis(25);

fn check(whole: &Whole<'_>, out: &mut Findings) {
    for route in http_routes(whole) {
        let (Some(timeout), Some((retries, path))) = (route.timeout(), route.retries()) else { continue };
        let attempts = u32::try_from(retries.attempts.unwrap_or(0)).unwrap_or(0);
        let each = retries.per_try_timeout.as_ref().map(|t| t.get()).filter(|t| !t.is_zero());
        let (Some(each), 1..) = (each, attempts) else { continue };
        if each >= timeout {
            let message = format!(
                "each try may take {each:?}, so that the timeout of {timeout:?} comes before any retry"
            );
            out.report(
                route.object,
                path.field("perTryTimeout"),
                message,
                "make it shorter, or the timeout longer",
            );
            continue;
        }
        let base = retries.backoff.as_ref().map_or(BACKOFF, |b| b.get());
        let pauses = pauses(base, attempts);
        let whole = each.saturating_mul(attempts.saturating_add(1)).saturating_add(pauses);
        if whole > timeout {
            let message = format!(
                "{} tries of {each:?} with pauses of up to {pauses:?} need {whole:?}, but the timeout is {timeout:?}",
                u64::from(attempts) + 1
            );
            let fix = match tries_that_fit(base, each, timeout, attempts) {
                0 => "write a shorter perTryTimeout or a longer timeout".to_owned(),
                fit => format!("write attempts: {fit}, a shorter perTryTimeout or a longer timeout"),
            };
            out.report(route.object, path, message, fix);
        }
    }
}

/// The longest pauses before `attempts` retries: each is random below a bound that doubles up to ten times the base.
fn pauses(base: Duration, attempts: u32) -> Duration {
    let most = base.saturating_mul(10);
    let bounds = (0..attempts.min(64)).map(|i| base.saturating_mul(1 << i.min(16)).min(most));
    let rest = most.saturating_mul(attempts.saturating_sub(64));
    bounds.fold(rest, Duration::saturating_add)
}

/// How many retries there is time for.
fn tries_that_fit(base: Duration, each: Duration, timeout: Duration, attempts: u32) -> u32 {
    let fits = |n: u32| each.saturating_mul(n + 1).saturating_add(pauses(base, n)) <= timeout;
    (0..attempts.min(64)).take_while(|n| fits(*n)).last().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_ten_times_the_base() {
        let ms = Duration::from_millis;
        assert_eq!(pauses(ms(25), 1), ms(25));
        assert_eq!(pauses(ms(25), 3), ms(25 + 50 + 100));
        assert_eq!(pauses(ms(25), 6), ms(25 + 50 + 100 + 200 + 250 + 250));
        assert_eq!(tries_that_fit(ms(25), ms(2000), ms(5000), 3), 1);
        let _ = pauses(Duration::MAX, u32::MAX);
    }
}
