//! Bodies in Kubernetes' protobuf form: some commands of kubectl (`create namespace`, `auth can-i`) send nothing else.
//!
//! Only what these commands send is read: the tables name the fields by their numbers in Kubernetes' API (`generated.proto`).
//! A body with anything else in it is refused, never cut short.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};
use tulle_api::value::Timestamp;

use crate::error::{ApiError, Reason};

/// What every body begins with.
const MAGIC: &[u8] = b"k8s\0";
/// Deepest nesting of the tables below, and some more.
const MAX_DEPTH: u32 = 16;

/// What a field is.
#[derive(Clone, Copy)]
enum Type {
    Text,
    Texts,
    Number,
    /// A number of which zero says something.
    Count,
    Flag,
    Time,
    /// Pairs of texts.
    Map,
    /// Pairs of text and bytes.
    Data,
    IntOrString,
    Message(&'static [Field]),
    Messages(&'static [Field]),
}

type Field = (u64, &'static str, Type);
use Type::{Count, Data, Flag, IntOrString, Message, Messages, Number, Text, Texts, Time};

const META: &[Field] = &[
    (1, "name", Text),
    (2, "generateName", Text),
    (3, "namespace", Text),
    (4, "selfLink", Text),
    (5, "uid", Text),
    (6, "resourceVersion", Text),
    (7, "generation", Number),
    (8, "creationTimestamp", Time),
    (9, "deletionTimestamp", Time),
    (10, "deletionGracePeriodSeconds", Number),
    (11, "labels", Type::Map),
    (12, "annotations", Type::Map),
    (14, "finalizers", Texts),
];
const CONTAINER: &[Field] = &[
    (1, "name", Text),
    (2, "image", Text),
    (3, "command", Texts),
    (4, "args", Texts),
    (5, "workingDir", Text),
    (
        6,
        "ports",
        Messages(&[
            (1, "name", Text),
            (2, "hostPort", Number),
            (3, "containerPort", Number),
            (4, "protocol", Text),
            (5, "hostIP", Text),
        ]),
    ),
    (7, "env", Messages(&[(1, "name", Text), (2, "value", Text)])),
    (14, "imagePullPolicy", Text),
];
const POD: &[Field] = &[
    (2, "containers", Messages(CONTAINER)),
    (3, "restartPolicy", Text),
    (4, "terminationGracePeriodSeconds", Number),
    (8, "serviceAccountName", Text),
    (20, "initContainers", Messages(CONTAINER)),
];
const DEPLOYMENT: &[Field] = &[
    (1, "replicas", Count),
    (2, "selector", Message(&[(1, "matchLabels", Type::Map)])),
    (3, "template", Message(&[(1, "metadata", Message(META)), (2, "spec", Message(POD))])),
    (4, "strategy", Message(&[(1, "type", Text)])),
    (5, "minReadySeconds", Number),
    (7, "paused", Flag),
];
const SERVICE: &[Field] = &[
    (
        1,
        "ports",
        Messages(&[
            (1, "name", Text),
            (2, "protocol", Text),
            (3, "port", Number),
            (4, "targetPort", IntOrString),
            (5, "nodePort", Number),
            (6, "appProtocol", Text),
        ]),
    ),
    (2, "selector", Type::Map),
    (3, "clusterIP", Text),
    (4, "type", Text),
    (7, "sessionAffinity", Text),
    (10, "externalName", Text),
    (18, "clusterIPs", Texts),
];
const ACCESS: &[Field] = &[
    (
        1,
        "resourceAttributes",
        Message(&[
            (1, "namespace", Text),
            (2, "verb", Text),
            (3, "group", Text),
            (4, "version", Text),
            (5, "resource", Text),
            (6, "subresource", Text),
            (7, "name", Text),
        ]),
    ),
    (2, "nonResourceAttributes", Message(&[(1, "path", Text), (2, "verb", Text)])),
];

/// The kinds that are read: group and version, kind, fields.
const KINDS: &[(&str, &str, &[Field])] = &[
    ("v1", "Namespace", &[(1, "metadata", Message(META))]),
    ("v1", "ServiceAccount", &[(1, "metadata", Message(META))]),
    (
        "v1",
        "ConfigMap",
        &[
            (1, "metadata", Message(META)),
            (2, "data", Type::Map),
            (3, "binaryData", Data),
            (4, "immutable", Flag),
        ],
    ),
    (
        "v1",
        "Secret",
        &[
            (1, "metadata", Message(META)),
            (2, "data", Data),
            (3, "type", Text),
            (4, "stringData", Type::Map),
            (5, "immutable", Flag),
        ],
    ),
    ("v1", "Service", &[(1, "metadata", Message(META)), (2, "spec", Message(SERVICE))]),
    ("apps/v1", "Deployment", &[(1, "metadata", Message(META)), (2, "spec", Message(DEPLOYMENT))]),
    ("authentication.k8s.io/v1", "SelfSubjectReview", &[(1, "metadata", Message(META))]),
    (
        "authorization.k8s.io/v1",
        "SelfSubjectAccessReview",
        &[(1, "metadata", Message(META)), (2, "spec", Message(ACCESS))],
    ),
    (
        "authorization.k8s.io/v1",
        "SelfSubjectRulesReview",
        &[(1, "metadata", Message(META)), (2, "spec", Message(&[(1, "namespace", Text)]))],
    ),
];
/// `metav1.DeleteOptions`, in whatever group and version.
const DELETE: &[Field] = &[
    (1, "gracePeriodSeconds", Count),
    (2, "preconditions", Message(&[(1, "uid", Text), (2, "resourceVersion", Text)])),
    (3, "orphanDependents", Flag),
    (4, "propagationPolicy", Text),
    (5, "dryRun", Texts),
];
/// `runtime.Unknown`, which is around every body.
const ENVELOPE: &[Field] = &[
    (1, "type", Message(&[(1, "apiVersion", Text), (2, "kind", Text)])),
    (2, "raw", Text),
    (3, "contentEncoding", Text),
    (4, "contentType", Text),
];

/// The object in a body as JSON.
///
/// # Errors
/// 400 if it is broken, 415 if it has something in it that is not read.
pub(crate) fn decode(bytes: &[u8]) -> Result<Value, ApiError> {
    let broken = || ApiError::bad_request("the body is not Kubernetes' protobuf");
    let bytes = bytes.strip_prefix(MAGIC).ok_or_else(broken)?;
    let (mut head, mut raw) = (Value::Null, &[][..]);
    for item in Items(bytes) {
        match item.ok_or_else(broken)? {
            (1, Wire::Bytes(inner)) => {
                let Some((_, _, Message(fields))) = ENVELOPE.first() else { return Err(broken()) };
                head = message(inner, fields, MAX_DEPTH)?;
            }
            (2, Wire::Bytes(inner)) => raw = inner,
            _ => {}
        }
    }
    let (version, kind) =
        (head["apiVersion"].as_str().unwrap_or_default(), head["kind"].as_str().unwrap_or_default());
    let fields = if kind == "DeleteOptions" {
        DELETE
    } else {
        let found = KINDS.iter().find(|(v, k, _)| *v == version && *k == kind);
        found.ok_or_else(|| refused(&format!("a {kind} of {version}")))?.2
    };
    let mut value = message(raw, fields, MAX_DEPTH)?;
    value["apiVersion"] = version.into();
    value["kind"] = kind.into();
    Ok(value)
}

fn refused(what: &str) -> ApiError {
    let message = format!("{what} is not read in protobuf form; send application/json");
    ApiError::new(Reason::UnsupportedMediaType, message)
}

fn message(bytes: &[u8], fields: &[Field], depth: u32) -> Result<Value, ApiError> {
    let broken = || ApiError::bad_request("the body is not Kubernetes' protobuf");
    let depth = depth.checked_sub(1).ok_or_else(broken)?;
    let mut out = Map::new();
    for item in Items(bytes) {
        let (number, wire) = item.ok_or_else(broken)?;
        let Some((_, name, ty)) = fields.iter().find(|(n, ..)| *n == number) else {
            if wire.is_nothing() {
                continue;
            }
            return Err(refused(&format!("field {number} beside {:?}", fields.first().map_or("", |f| f.1))));
        };
        let value = match (ty, wire) {
            (Text, Wire::Bytes(b)) => text(b)?.filter(|t| !t.is_empty()).map(Value::from),
            (Texts, Wire::Bytes(b)) => text(b)?.map(Value::from),
            (Number, Wire::Varint(n)) => Some(n).filter(|n| *n != 0).map(|n| Value::from(n.cast_signed())),
            (Count, Wire::Varint(n)) => Some(Value::from(n.cast_signed())),
            (Flag, Wire::Varint(n)) => (n != 0).then_some(Value::Bool(true)),
            (Time, Wire::Bytes(b)) => {
                let seconds = Items(b).flatten().find_map(|(n, w)| match w {
                    Wire::Varint(v) if n == 1 => Some(v.cast_signed()),
                    _ => None,
                });
                seconds.map(|s| Value::from(Timestamp::from_unix(s).as_str()))
            }
            (IntOrString, Wire::Bytes(b)) => port(b)?,
            (Message(inner), Wire::Bytes(b)) => {
                let value = message(b, inner, depth)?;
                Some(value).filter(|v| v.as_object().is_some_and(|m| !m.is_empty()))
            }
            (Messages(inner), Wire::Bytes(b)) => Some(message(b, inner, depth)?),
            (Type::Map | Data, Wire::Bytes(b)) => {
                pair(b, matches!(ty, Data), &mut out, name)?;
                None
            }
            _ => return Err(broken()),
        };
        let Some(value) = value else { continue };
        if matches!(ty, Texts | Messages(_)) {
            if let Value::Array(list) = out.entry(*name).or_insert_with(|| Value::Array(Vec::new())) {
                list.push(value);
            }
        } else {
            out.insert((*name).to_owned(), value);
        }
    }
    Ok(Value::Object(out))
}

fn text(bytes: &[u8]) -> Result<Option<String>, ApiError> {
    let text =
        std::str::from_utf8(bytes).map_err(|_| ApiError::bad_request("text of the body is not UTF-8"))?;
    Ok(Some(text.to_owned()))
}

/// One entry of a map.
fn pair(bytes: &[u8], data: bool, out: &mut Map<String, Value>, name: &str) -> Result<(), ApiError> {
    let (mut key, mut value) = (String::new(), Value::from(""));
    for (number, wire) in Items(bytes).flatten() {
        match (number, wire) {
            (1, Wire::Bytes(b)) => key = text(b)?.unwrap_or_default(),
            (2, Wire::Bytes(b)) if data => value = STANDARD.encode(b).into(),
            (2, Wire::Bytes(b)) => value = text(b)?.unwrap_or_default().into(),
            _ => {}
        }
    }
    if let Value::Object(map) = out.entry(name).or_insert_with(|| Value::Object(Map::new())) {
        map.insert(key, value);
    }
    Ok(())
}

/// An `IntOrString`: its type, number and text.
fn port(bytes: &[u8]) -> Result<Option<Value>, ApiError> {
    let (mut is_text, mut number, mut name) = (false, 0, String::new());
    for (field, wire) in Items(bytes).flatten() {
        match (field, wire) {
            (1, Wire::Varint(n)) => is_text = n == 1,
            (2, Wire::Varint(n)) => number = n.cast_signed(),
            (3, Wire::Bytes(b)) => name = text(b)?.unwrap_or_default(),
            _ => {}
        }
    }
    Ok(if is_text { Some(name.into()) } else { Some(number).filter(|n| *n != 0).map(Value::from) })
}

/// A value on the wire.
enum Wire<'b> {
    Varint(u64),
    Bytes(&'b [u8]),
    Fixed,
}

impl Wire<'_> {
    /// Whether this is what Kubernetes writes for a field that is not set. A message of nothing but such fields is not set either.
    fn is_nothing(&self) -> bool {
        match self {
            Self::Varint(n) => *n == 0,
            Self::Bytes(b) => {
                b.is_empty() || Items(b).all(|item| item.is_some_and(|(n, wire)| n != 0 && wire.is_nothing()))
            }
            Self::Fixed => false,
        }
    }
}

/// The fields of a message in their order; `None` for something broken, which is the last.
struct Items<'b>(&'b [u8]);

impl<'b> Iterator for Items<'b> {
    type Item = Option<(u64, Wire<'b>)>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let read = self.read();
        if read.is_none() {
            self.0 = &[];
        }
        Some(read)
    }
}

impl<'b> Items<'b> {
    fn read(&mut self) -> Option<(u64, Wire<'b>)> {
        let tag = self.varint()?;
        let wire = match tag & 7 {
            0 => Wire::Varint(self.varint()?),
            1 => self.take(8).map(|_| Wire::Fixed)?,
            2 => {
                let length = usize::try_from(self.varint()?).ok()?;
                Wire::Bytes(self.take(length)?)
            }
            5 => self.take(4).map(|_| Wire::Fixed)?,
            _ => return None,
        };
        Some((tag >> 3, wire))
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = *self.take(1)?.first()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    fn take(&mut self, length: usize) -> Option<&'b [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
        [&[(number << 3) | 2, u8::try_from(bytes.len()).unwrap()], bytes].concat()
    }

    fn body(version: &str, kind: &str, raw: &[u8]) -> Vec<u8> {
        let head = [field(1, version.as_bytes()), field(2, kind.as_bytes())].concat();
        [MAGIC.to_vec(), field(1, &head), field(2, raw), field(3, b""), field(4, b"")].concat()
    }

    #[test]
    fn a_config_map_is_read() {
        let pair = [field(1, b"k"), field(2, b"v")].concat();
        let raw = [field(1, &[field(1, b"a"), field(8, b"")].concat()), field(2, &pair)].concat();
        let value = decode(&body("v1", "ConfigMap", &raw)).unwrap();
        let wanted = serde_json::json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"k": "v"}});
        assert_eq!(value, wanted);
    }

    #[test]
    fn what_is_not_read_is_refused_and_not_dropped() {
        let raw = [field(1, &field(1, b"a")), field(9, b"x")].concat();
        assert_eq!(decode(&body("v1", "ConfigMap", &raw)).unwrap_err().reason, Reason::UnsupportedMediaType);
        assert_eq!(decode(&body("v1", "Pod", b"")).unwrap_err().reason, Reason::UnsupportedMediaType);
        // What Kubernetes writes for nothing is nothing.
        let raw = [field(1, &field(1, b"a")), field(9, &[8, 0])].concat();
        assert!(decode(&body("v1", "ConfigMap", &raw)).is_ok());
    }

    proptest::proptest! {
        #[test]
        fn rubbish_never_panics(bytes: Vec<u8>, raw: Vec<u8>) {
            let _ = decode(&bytes);
            let _ = decode(&[MAGIC, &bytes].concat());
            let raw = &raw[..raw.len().min(100)];
            for (version, kind, _) in KINDS {
                let _ = decode(&body(version, kind, raw));
            }
        }
    }
}
