//! No configuration makes an analyzer panic: random resources of every kind, made from the tables of their fields, with names
//! and values that meet each other often.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeSet;
use std::sync::Arc;

use proptest::prelude::*;
use serde_json::{Map, Value, json};
use tulle_analysis::{MeshConfig, analyze};
use tulle_api::kind::Body;
use tulle_api::schema::{FieldInfo, RecordInfo, TypeInfo};
use tulle_api::{Kind, Object, decode_object};

/// Words that names, hosts, paths, labels and values are taken from.
const WORDS: [&str; 34] = [
    "a",
    "b",
    "a.n1",
    "*",
    "*.com",
    "a.com",
    "~",
    ".",
    "",
    "mesh",
    "n1/gw",
    "./gw",
    "n1/",
    "/",
    "a.n1.svc.cluster.local",
    "v1",
    "/a",
    "/a/b",
    "[a",
    "/a/.*",
    "GET",
    "POST|PUT",
    "5xx",
    "1.2.3.4",
    "@request.auth.claims.x",
    "ü",
    "istio-proxy",
    "auto",
    "http://a:80",
    "127.0.0.1:80",
    "cluster.local/ns/n1/sa/a",
    "HTTP",
    "TCP",
    "n1",
];

const DURATIONS: [&str; 5] = ["1ms", "1s", "0s", "10s", "2000000h"];

/// The kinds that most analyzers are about.
const OFTEN: [Kind; 12] = [
    Kind::VirtualService,
    Kind::VirtualService,
    Kind::DestinationRule,
    Kind::Gateway,
    Kind::ServiceEntry,
    Kind::Sidecar,
    Kind::PeerAuthentication,
    Kind::AuthorizationPolicy,
    Kind::EnvoyFilter,
    Kind::Service,
    Kind::Deployment,
    Kind::Pod,
];

/// A stream of choices from one seed (splitmix64).
struct Choices(u64);

impl Choices {
    fn next(&mut self, below: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % below as u64).unwrap()
    }

    fn word(&mut self) -> &'static str {
        WORDS[self.next(WORDS.len())]
    }

    fn value(&mut self, ty: &TypeInfo, depth: usize) -> Value {
        match ty {
            TypeInfo::String | TypeInfo::IntOrString | TypeInfo::Json => self.word().into(),
            TypeInfo::Bytes => "LS0tLS1CRUdJTiBY".into(),
            TypeInfo::Bool => (self.next(2) == 0).into(),
            TypeInfo::Int { min, max } => {
                let wanted = [0, 1, 3, 80, 100, 8080, *min, *max][self.next(8)].clamp(*min, *max);
                i64::try_from(wanted).map_or_else(|_| json!(u64::try_from(wanted).unwrap_or(0)), Value::from)
            }
            TypeInfo::Double => [0.0, 10.0, 100.0][self.next(3)].into(),
            TypeInfo::Duration => DURATIONS[self.next(DURATIONS.len())].into(),
            TypeInfo::Timestamp => format!("2026-0{}-01T00:00:00Z", 1 + self.next(3)).into(),
            TypeInfo::Enum(words) => words[self.next(words.len())].into(),
            TypeInfo::List(inner) => (0..self.next(3)).map(|_| self.value(inner, depth + 1)).collect(),
            TypeInfo::Map(inner) => {
                // Maps by number are read from keys that are numbers.
                let keys = ["app", "80", "8080", "version", "x", "a"];
                let pairs = (0..self.next(3))
                    .map(|_| (keys[self.next(keys.len())].to_owned(), self.value(inner, depth + 1)));
                Value::Object(pairs.collect::<Vec<_>>().into_iter().collect())
            }
            TypeInfo::Record(info) => self.record(info, depth + 1),
            TypeInfo::Oneof(info) => {
                let member = &info.members[self.next(info.members.len())];
                json!({ member.name: self.value(&member.ty, depth + 1) })
            }
        }
    }

    fn record(&mut self, info: &RecordInfo, depth: usize) -> Value {
        let mut map = Map::new();
        let wanted = |field: &FieldInfo, choices: &mut Self| {
            field.required || choices.next(10) < 7usize.saturating_sub(depth)
        };
        for field in info.fields {
            if wanted(field, self) {
                map.insert(field.name.to_owned(), self.value(&field.ty, depth));
            }
        }
        for group in info.oneofs {
            let member = &group.members[self.next(group.members.len())];
            if wanted(member, self) {
                map.insert(member.name.to_owned(), self.value(&member.ty, depth));
            }
        }
        Value::Object(map)
    }

    /// A resource, if what was chosen can be read.
    fn object(&mut self) -> Option<Object> {
        let kind = match self.next(4) {
            0 => Kind::ALL[self.next(Kind::ALL.len())],
            _ => OFTEN[self.next(OFTEN.len())],
        };
        let info = kind.info();
        let mut metadata = json!({
            "name": (["a", "b", "gw", "n1", "default"][self.next(5)]),
            "labels": { "app": (["a", "b"][self.next(2)]), "istio-injection": (["enabled", "disabled"][self.next(2)]) },
        });
        if info.namespaced {
            metadata["namespace"] = ["n1", "n2", "istio-system"][self.next(3)].into();
        }
        if self.next(2) == 0 {
            metadata["creationTimestamp"] = self.value(&TypeInfo::Timestamp, 0);
        }
        let mut object = json!({ "apiVersion": info.api_version(), "kind": info.kind, "metadata": metadata });
        match (info.body, self.record(info.record, 0)) {
            (Body::Spec, spec) => object["spec"] = spec,
            (Body::Top, Value::Object(fields)) => object.as_object_mut().unwrap().extend(fields),
            (Body::Top, _) => {}
        }
        decode_object(&object).ok()
    }

    fn objects(&mut self) -> Vec<Arc<Object>> {
        let mut seen = BTreeSet::new();
        let all: Vec<Object> = (0..30).filter_map(|_| self.object()).collect();
        all.into_iter().filter(|o| seen.insert(o.resource())).map(Arc::new).collect()
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn nothing_panics(seed in any::<u64>()) {
        let objects = Choices(seed).objects();
        for finding in analyze(&objects, MeshConfig::default()) {
            prop_assert!(!finding.message.is_empty());
        }
    }
}

/// The generator is worth something: most kinds come through, and most analyzers find something somewhere.
#[test]
fn random_configurations_reach_the_analyzers() {
    let (mut kinds, mut codes) = (BTreeSet::new(), BTreeSet::new());
    for seed in 0..600 {
        let objects = Choices(seed).objects();
        kinds.extend(objects.iter().map(|o| o.kind()));
        codes.extend(analyze(&objects, MeshConfig::default()).into_iter().map(|d| d.code));
    }
    let missing: Vec<_> = Kind::ALL.iter().filter(|k| !kinds.contains(k)).collect();
    assert!(missing.is_empty(), "{missing:?}");
    assert!(codes.len() >= 30, "{} codes: {codes:?}", codes.len());
}
