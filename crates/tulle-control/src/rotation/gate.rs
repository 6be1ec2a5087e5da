//! Whether the next step of a rotation is safe: who would be cut off by it.

use std::collections::{BTreeMap, HashMap};

use tulle_ca::Holding;

/// Namespace and name of a pod.
pub(crate) type Pod = (String, String);

/// One discovery stream, as far as trust is concerned.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) pod: Pod,
    pub(crate) service_account: String,
    /// Whether it is a proxy of ours, which is given its trust by the control plane.
    pub(crate) ours: bool,
    /// How it stands to what it is to trust; none while it has not asked for it.
    pub(crate) standing: Option<Standing>,
}

/// How a proxy stands to what it is to trust.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It has it in force, and a certificate of the root that signs.
    Acknowledged,
    /// It has been told and has not answered.
    Waiting,
    /// It refuses it.
    Refused,
}

/// How a holder of a certificate stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// It trusts what it is to trust, and has a certificate of the root that signs.
    InStep,
    /// It takes its trust elsewhere: a stock Envoy. Its certificates, if it has any of ours, are looked at all the same.
    Elsewhere,
    /// The step would cut it off, for this reason.
    Behind(&'static str),
    /// Its certificate is of another root than the one that signs, until then (seconds since the epoch).
    OldCertificate(u64),
}

impl State {
    /// Whether a step would harm it.
    pub(crate) fn blocks(&self) -> bool {
        matches!(self, Self::Behind(_) | Self::OldCertificate(_))
    }
}

/// What the decision is made of.
pub(crate) struct Facts<'a> {
    pub(crate) streams: Vec<Seen>,
    /// Running pods with a proxy.
    pub(crate) proxies: Vec<Pod>,
    /// The last certificate of each workload whose pod, if it names one, exists.
    pub(crate) held: Vec<Holding>,
    /// The root that signs; none where certificates may still be of another.
    pub(crate) signing: Option<&'a str>,
}

/// How everybody stands who is a proxy or holds a certificate, by `NAMESPACE/NAME` of the pod, or by identity.
pub(crate) fn judge(facts: &Facts<'_>) -> BTreeMap<String, State> {
    let name = |pod: &Pod| format!("{}/{}", pod.0, pod.1);
    let mut all: BTreeMap<String, State> = BTreeMap::new();
    for pod in &facts.proxies {
        all.insert(name(pod), State::Behind("it is not connected"));
    }
    let mut by_identity: HashMap<String, State> = HashMap::new();
    let mut by_pod: HashMap<String, State> = HashMap::new();
    for seen in &facts.streams {
        let state = of_stream(seen);
        let end = format!("/ns/{}/sa/{}", seen.pod.0, seen.service_account);
        merge(by_identity.entry(end).or_insert(State::Elsewhere), &state);
        merge(by_pod.entry(name(&seen.pod)).or_insert(State::Elsewhere), &state);
    }
    all.extend(by_pod);
    for holding in &facts.held {
        let connected = match &holding.pod {
            Some(pod) => all.get(&name(pod)).cloned(),
            None => by_identity.iter().find(|(end, _)| holding.id.ends_with(*end)).map(|(_, s)| s.clone()),
        };
        let mut state = connected.unwrap_or(State::Behind("it is not connected"));
        let other = facts.signing.is_some_and(|root| root != holding.root);
        if other && !state.blocks() {
            state = State::OldCertificate(holding.not_after);
        }
        let key = holding.pod.as_ref().map_or_else(|| holding.id.clone(), name);
        all.insert(key, state);
    }
    all
}

fn of_stream(seen: &Seen) -> State {
    match seen.standing {
        Some(Standing::Acknowledged) => State::InStep,
        Some(Standing::Waiting) => State::Behind("it has not acknowledged what it is to trust"),
        Some(Standing::Refused) => State::Behind("it refuses what it is to trust; see its log"),
        None if seen.ours => State::Behind("it has not asked for what it is to trust"),
        None => State::Elsewhere,
    }
}

/// Several streams of one holder: it is as far as the one that is the least far.
fn merge(known: &mut State, other: &State) {
    let rank = |state: &State| match state {
        State::Elsewhere => 0,
        State::InStep => 1,
        State::OldCertificate(_) => 2,
        State::Behind(_) => 3,
    };
    if rank(other) > rank(known) {
        *known = other.clone();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(name: &str) -> Pod {
        ("shop".to_owned(), name.to_owned())
    }

    fn seen(name: &str, standing: Option<Standing>) -> Seen {
        Seen { pod: pod(name), service_account: "cart".into(), ours: true, standing }
    }

    fn held(name: Option<&str>, root: &str) -> Holding {
        Holding {
            pod: name.map(pod),
            uid: name.unwrap_or_default().to_owned(),
            id: "spiffe://cluster.local/ns/shop/sa/cart".into(),
            serial: "1".into(),
            not_after: 99,
            root: root.into(),
        }
    }

    fn blockers(facts: &Facts<'_>) -> Vec<String> {
        judge(facts)
            .into_iter()
            .filter(|(_, s)| s.blocks())
            .map(|(name, s)| format!("{name}: {s:?}"))
            .collect()
    }

    #[test]
    fn nobody_who_would_be_cut_off_is_passed_over() {
        let acknowledged = Some(Standing::Acknowledged);
        let facts = Facts {
            streams: vec![
                seen("fine", acknowledged),
                seen("paused", Some(Standing::Waiting)),
                seen("refuses", Some(Standing::Refused)),
                seen("new", None),
                Seen { ours: false, ..seen("stock", None) },
                // One of two streams of a pod has not answered.
                seen("two", acknowledged),
                seen("two", Some(Standing::Waiting)),
            ],
            proxies: ["fine", "paused", "offline", "refuses", "new", "two"].map(pod).into(),
            held: vec![held(Some("fine"), "new"), held(Some("gone-from-the-mesh"), "old")],
            signing: None,
        };
        let text = blockers(&facts).join("\n");
        for name in ["paused", "offline", "refuses", "new", "two", "gone-from-the-mesh"] {
            assert!(text.contains(&format!("shop/{name}: Behind")), "{name} in\n{text}");
        }
        assert_eq!(text.lines().count(), 6, "{text}");
    }

    #[test]
    fn a_root_stays_while_somebody_holds_a_certificate_of_it() {
        let acknowledged = Some(Standing::Acknowledged);
        let mut facts = Facts {
            streams: vec![seen("a", acknowledged), Seen { ours: false, ..seen("stock", None) }],
            proxies: vec![pod("a")],
            held: vec![held(Some("a"), "new"), held(Some("stock"), "old")],
            signing: Some("new"),
        };
        assert_eq!(blockers(&facts), ["shop/stock: OldCertificate(99)"]);
        facts.held = vec![held(Some("a"), "new"), held(Some("stock"), "new")];
        assert_eq!(blockers(&facts), [""; 0]);
        // Certificates without a pod are known by their identity.
        facts.held.push(held(None, "new"));
        assert_eq!(blockers(&facts), [""; 0]);
        facts.held.push(Holding { id: "spiffe://cluster.local/ns/shop/sa/vm".into(), ..held(None, "new") });
        assert_eq!(
            blockers(&facts),
            ["spiffe://cluster.local/ns/shop/sa/vm: Behind(\"it is not connected\")"]
        );
    }
}
