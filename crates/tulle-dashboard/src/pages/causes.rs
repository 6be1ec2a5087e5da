//! Why requests failed: what a response flag says, and which resource of the mesh made it so.

use super::health::{Judged, Reason};
use crate::graph::Edge;
use crate::plane::{Reference, Service};

/// A reason for each response flag that came with failures, the most frequent first. Where a resource of the called service is what
/// makes such failures (a fault that it injects, a timeout that it sets), the reason names it.
pub(super) fn with_flags(mut judged: Judged, edge: &Edge, service: Option<&Service>) -> Judged {
    let mut flags: Vec<(&String, &f64)> = edge.flags.iter().collect();
    flags.sort_by(|a, b| b.1.total_cmp(a.1));
    for (all, rate) in flags {
        let share = if edge.rate > 0.0 { rate / edge.rate } else { 0.0 };
        // What is not slow or wrong by itself leaves health as it is.
        let health = judged.health;
        for flag in all.split(',') {
            let text = format!("{rate:.2} requests a second: {}", flag_in_words(flag));
            let reason = Reason::new(format!("flag:{flag}"), text, share, 0.0);
            judged.add(
                health,
                match service.and_then(|service| cause(flag, service)) {
                    Some(cause) => cause.of(reason),
                    None => reason,
                },
            );
        }
    }
    judged
}

/// What made a flag.
struct Cause {
    /// As what, such as `abort with 503, 50 % of the requests`.
    value: String,
    resource: Reference,
    rule: Option<usize>,
    /// The field.
    field: String,
}

impl Cause {
    fn of(self, mut reason: Reason) -> Reason {
        let Self { value, resource, rule, field } = self;
        let Reference { kind, namespace, name, .. } = &resource;
        reason.text = format!("{}, by {kind} {namespace}/{name}, {field}: {value}", reason.text);
        reason.resource = Some(resource);
        reason.rule = rule;
        reason
    }
}

/// The resource that says what a flag is about; none where it is the default, or somebody else's.
fn cause(flag: &str, service: &Service) -> Option<Cause> {
    let what = match flag {
        "FI" => return fault(service, true),
        "DI" => return fault(service, false),
        "UT" => "Timeout",
        "UO" => "Connection pool",
        "UH" => "Outlier detection",
        _ => return None,
    };
    let applied = service.configuration.iter().find(|a| a.what == what && a.why != "not set")?;
    Some(Cause {
        value: applied.value.clone(),
        resource: applied.resource.clone()?,
        rule: applied.rule,
        field: applied.why.clone(),
    })
}

/// The first route of the service that injects errors, or delays.
fn fault(service: &Service, aborts: bool) -> Option<Cause> {
    service.routes.iter().find_map(|route| {
        let fault = route.fault.as_ref()?;
        let value = if aborts {
            let abort = fault.abort.as_ref()?;
            format!("abort with {}, {} % of the requests", abort.status, abort.percentage)
        } else {
            let delay = fault.delay.as_ref()?;
            format!("delay of {} s, {} % of the requests", delay.seconds, delay.percentage)
        };
        let resource = route.resource.clone()?;
        Some(Cause { value, resource, rule: Some(route.rule), field: format!("{}.fault", route.name) })
    })
}

/// What a response flag says (Envoy's access log documentation).
fn flag_in_words(flag: &str) -> &'static str {
    match flag {
        "UH" => "no healthy endpoint",
        "UF" => "the connection to the endpoint failed",
        "UO" => "a limit of the circuit breaker was reached",
        "NR" => "no route for the request",
        "URX" => "given up after the last retry",
        "NC" => "the cluster of the route does not exist",
        "DT" => "longer than the client's limit for a request",
        "UC" => "the endpoint closed the connection",
        "LR" => "the proxy reset the stream",
        "UR" => "the endpoint reset the stream",
        "UT" => "no answer in time",
        "DC" => "the client went away",
        "LH" => "health checks failed",
        "DI" => "a fault was injected: delay",
        "FI" => "a fault was injected: abort",
        "RL" => "a rate limit was reached",
        "RLSE" => "the rate limit service failed",
        "UAEX" => "the authorization service refused",
        "IH" => "a header has an invalid value",
        "SI" => "nothing moved for too long",
        "DPE" => "the client broke the protocol",
        "UPE" => "the endpoint broke the protocol",
        "UMSDR" => "longer than the limit of the stream",
        "OM" => "the proxy is overloaded",
        "DF" => "the name could not be resolved",
        "DO" => "the request was dropped on purpose",
        "NFCF" => "the resource of the cluster was not found in time",
        "RFCF" => "the filter's configuration is missing",
        _ => "for another reason",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pages::health::Health;
    use crate::plane::{Abort, Applied, Fault, Route};

    fn edge(flag: &str) -> Edge {
        Edge { rate: 4.0, flags: [(flag.to_owned(), 2.0)].into(), ..Edge::default() }
    }

    fn ratings() -> Service {
        let resource = |kind| Some(Reference::new("networking.istio.io", kind, "shop", "ratings"));
        let abort = Some(Abort { status: "503".to_owned(), percentage: 50.0 });
        let applied = |what, why: &str, kind| Applied {
            what,
            value: "1 request".to_owned(),
            why: why.to_owned(),
            resource: resource(kind),
            rule: None,
        };
        Service {
            routes: vec![
                Route::default(),
                Route {
                    name: "http[1]".to_owned(),
                    rule: 1,
                    resource: resource("VirtualService"),
                    fault: Some(Fault { abort, delay: None }),
                    ..Route::default()
                },
            ],
            configuration: vec![
                applied("Outlier detection", "not set", "DestinationRule"),
                applied("Connection pool", "spec.trafficPolicy.connectionPool", "DestinationRule"),
            ],
            ..Service::default()
        }
    }

    #[test]
    fn a_fault_is_told_with_the_resource_that_injects_it() {
        let judged =
            with_flags(Judged { health: Health::Failing, reasons: vec![] }, &edge("FI"), Some(&ratings()));
        assert_eq!(judged.health, Health::Failing);
        assert_eq!(
            judged.reasons[0].text,
            "2.00 requests a second: a fault was injected: abort, by VirtualService shop/ratings, http[1].fault: \
             abort with 503, 50 % of the requests"
        );
        assert_eq!(judged.reasons[0].resource.as_ref().unwrap().id, "VirtualService/shop/ratings");
        assert_eq!((judged.reasons[0].rule, judged.reasons[0].value), (Some(1), 0.5));
    }

    #[test]
    fn what_no_resource_says_is_told_without_one() {
        let told = |flag: &str, service| {
            let judged = with_flags(Judged::default(), &edge(flag), service);
            (judged.reasons[0].code.clone(), judged.reasons[0].resource.as_ref().map(|r| r.kind.clone()))
        };
        let service = ratings();
        assert_eq!(told("UO", Some(&service)), ("flag:UO".to_owned(), Some("DestinationRule".to_owned())));
        assert_eq!(told("UH", Some(&service)), ("flag:UH".to_owned(), None), "it is not set");
        assert_eq!(told("DI", Some(&service)), ("flag:DI".to_owned(), None), "no route delays");
        assert_eq!(told("FI", None), ("flag:FI".to_owned(), None));
    }
}
