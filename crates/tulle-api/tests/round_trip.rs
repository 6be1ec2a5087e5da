//! What is read is written back as it was: every field of every kind, from the tables that the listings make.

#![allow(clippy::unwrap_used, reason = "a test that panics is a test that fails")]

use proptest::prelude::*;
use proptest::test_runner::TestRng;
use serde_json::{Map, Value, json};
use tulle_api::kind::Body;
use tulle_api::schema::{FieldInfo, OneofInfo, RecordInfo, TypeInfo};
use tulle_api::{Kind, decode_object};

/// Makes values for types. With `all`, every field is given; otherwise about half of them.
struct Maker<'r> {
    random: &'r mut TestRng,
    all: bool,
}

impl Maker<'_> {
    fn below(&mut self, limit: u64) -> u64 {
        self.random.random_range(0..limit)
    }

    fn value(&mut self, ty: &TypeInfo) -> Value {
        match ty {
            TypeInfo::String => json!(["a", "x y", "true", "5", "ä: {"][self.index(5)]),
            TypeInfo::Bytes => json!(["", "AAEC", "aGVsbG8="][self.index(3)]),
            TypeInfo::Bool => json!(self.below(2) == 0),
            TypeInfo::Int { min, max } => {
                let number = [0, 1, *min, *max][self.index(4)];
                json!(
                    u64::try_from(number)
                        .map(Value::from)
                        .unwrap_or_else(|_| json!(i64::try_from(number).unwrap()))
                )
            }
            TypeInfo::Double => json!([0.5, 99.99, 1e-4, 12.25][self.index(4)]),
            TypeInfo::Duration => json!(["0s", "500ms", "1h2m", "1.5s"][self.index(4)]),
            TypeInfo::Timestamp => json!("2026-08-01T10:00:00Z"),
            TypeInfo::IntOrString => [json!(80), json!("http"), json!("25%")][self.index(3)].clone(),
            TypeInfo::Json => json!({"any": ["thing", 1, null]}),
            TypeInfo::Enum(words) => json!(words[self.index(words.len())]),
            TypeInfo::List(of) => (0..=self.below(2)).map(|_| self.value(of)).collect(),
            TypeInfo::Map(of) => {
                (0..=self.below(2)).map(|i| (format!("{}", i + 1), self.value(of))).collect()
            }
            TypeInfo::Record(info) => self.record(info),
            TypeInfo::Oneof(info) => {
                let mut map = Map::new();
                self.oneof(info, &mut map);
                Value::Object(map)
            }
        }
    }

    fn index(&mut self, len: usize) -> usize {
        usize::try_from(self.below(len as u64)).unwrap()
    }

    fn record(&mut self, info: &RecordInfo) -> Value {
        let mut map = Map::new();
        for field in info.fields {
            let bare = matches!(field.ty, TypeInfo::Record(_) | TypeInfo::Int { .. } | TypeInfo::Duration);
            if self.all || field.required || bare || self.below(2) == 0 {
                map.insert(field.name.to_owned(), self.field(field));
            }
        }
        for group in info.oneofs {
            self.oneof(group, &mut map);
        }
        Value::Object(map)
    }

    fn field(&mut self, field: &FieldInfo) -> Value {
        self.value(&field.ty)
    }

    fn oneof(&mut self, info: &OneofInfo, map: &mut Map<String, Value>) {
        let member = &info.members[self.index(info.members.len())];
        if self.all || self.below(2) == 0 {
            map.insert(member.name.to_owned(), self.value(&member.ty));
        }
    }

    fn document(&mut self, kind: Kind) -> Value {
        let info = kind.info();
        let mut document = json!({
            "apiVersion": info.api_version(),
            "kind": info.kind,
            "metadata": {"name": "n", "labels": {"a": "b"}, "ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "u"}]},
            "status": {"any": 1},
        });
        if info.namespaced {
            document["metadata"]["namespace"] = json!("ns");
        }
        let fields = self.record(info.record);
        match (info.body, fields) {
            (Body::Top, Value::Object(fields)) => document.as_object_mut().unwrap().extend(fields),
            // An empty spec of a Namespace is not written.
            (_, Value::Object(fields)) if fields.is_empty() && kind == Kind::Namespace => {}
            (_, fields) => document["spec"] = fields,
        }
        document
    }
}

fn check(random: &mut TestRng, all: bool) {
    for kind in Kind::ALL {
        let document = Maker { random, all }.document(*kind);
        let object = match decode_object(&document) {
            Ok(object) => object,
            Err(problems) => {
                panic!("{document:#}\n{}", problems.iter().map(|p| format!("{p}\n")).collect::<String>())
            }
        };
        assert_eq!(object.to_json(), document);
    }
}

#[test]
fn every_field_of_every_kind() {
    let mut random = TestRng::deterministic_rng(proptest::test_runner::RngAlgorithm::ChaCha);
    for _ in 0..20 {
        check(&mut random, true);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_fields_of_every_kind(seed in any::<[u8; 32]>()) {
        let mut random = TestRng::from_seed(proptest::test_runner::RngAlgorithm::ChaCha, &seed);
        check(&mut random, false);
    }
}
