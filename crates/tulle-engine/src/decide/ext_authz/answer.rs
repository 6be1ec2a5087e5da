//! What the answers of the service mean.

use tulle_http::{HeaderList, RequestHead, ResponseHead};
use tulle_proto::envoy::{auth, core, kind};

use super::any;
use crate::decide::header_mutation;
use crate::decide::header_ops::is_framing;
use crate::decide::metadata;
use crate::runtime::ext_authz::{ExtAuthz, HttpAuth};
use crate::runtime::metadata::{Fields, Value};

/// Names the fields that an HTTP server wants removed.
const TO_REMOVE: &str = "x-envoy-auth-headers-to-remove";

/// What the service says.
#[derive(Debug)]
pub struct Answer {
    /// Whether the request passes.
    pub verdict: Verdict,
    /// Metadata about it.
    pub metadata: Fields,
}

/// Whether a request passes.
#[derive(Debug)]
pub enum Verdict {
    /// It does, with these changes.
    Allowed(Box<Changes>),
    /// It does not.
    Denied(Box<Denial>),
    /// The service does not know. What it says for the client then, if anything.
    Failed(Box<Denial>),
    /// The answer cannot be followed.
    Invalid,
}

/// A field.
type Field = (String, Vec<u8>);

/// What a service changes about a request that passes, and about its response.
#[derive(Debug, Default)]
pub struct Changes {
    set: Vec<Field>,
    add: Vec<Field>,
    append: Vec<Field>,
    remove: Vec<String>,
    query_set: Vec<(String, String)>,
    query_remove: Vec<String>,
    /// What changes about the response.
    pub response: ResponseChanges,
}

/// What a service changes about a response.
#[derive(Debug, Default)]
pub struct ResponseChanges {
    add: Vec<Field>,
    set: Vec<Field>,
    add_if_absent: Vec<Field>,
    overwrite: Vec<Field>,
}

/// A refusal.
#[derive(Debug, Default)]
pub struct Denial {
    /// Its status; `None` for the default.
    pub status: Option<u16>,
    /// Its fields.
    pub headers: HeaderList,
    /// Its body.
    pub body: Vec<u8>,
}

impl Answer {
    fn plain(verdict: Verdict) -> Self {
        Self { verdict, metadata: Fields::new() }
    }
}

/// What a `CheckResponse` says.
pub fn of_grpc(message: &auth::CheckResponse) -> Answer {
    use auth::check_response::HttpResponse;
    let auth::CheckResponse { status, dynamic_metadata, http_response } = message;
    let allowed = status.as_ref().is_none_or(|status| status.code == 0);
    #[allow(deprecated, reason = "services still send it, and it wins")]
    let inner = match http_response {
        Some(HttpResponse::OkResponse(ok)) => ok.dynamic_metadata.as_ref(),
        _ => None,
    };
    let said = inner.or(dynamic_metadata.as_ref()).map_or_else(|| Some(Fields::new()), metadata::fields);
    let Some(metadata) = said else { return Answer::plain(Verdict::Invalid) };
    let verdict = match http_response {
        Some(HttpResponse::OkResponse(ok)) if allowed => {
            changes(ok).map_or(Verdict::Invalid, |changes| Verdict::Allowed(Box::new(changes)))
        }
        _ if allowed => Verdict::Allowed(Box::default()),
        Some(HttpResponse::ErrorResponse(error)) => {
            denial(error).map_or(Verdict::Invalid, |denial| Verdict::Failed(Box::new(denial)))
        }
        Some(HttpResponse::DeniedResponse(denied)) => {
            denial(denied).map_or(Verdict::Invalid, |denial| Verdict::Denied(Box::new(denial)))
        }
        _ => Verdict::Denied(Box::default()),
    };
    Answer { verdict, metadata }
}

/// The field of an option, if it is one: a service does not write the framing of messages.
fn field(option: &core::HeaderValueOption) -> Option<Field> {
    let core::HeaderValue { key, value, raw_value: _ } = option.header.as_ref()?;
    (is_field(key) && is_value(value.as_bytes()))
        .then(|| (key.to_ascii_lowercase(), value.as_bytes().to_vec()))
}

fn is_field(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}

fn is_value(value: &[u8]) -> bool {
    !value.iter().any(|b| (*b < 0x20 && *b != b'\t') || *b == 0x7f)
}

/// The deprecated flag, which wins over the action; `None` where it is not said.
#[allow(deprecated, reason = "services still send it, and it wins")]
fn append(option: &core::HeaderValueOption) -> Option<bool> {
    option.append.as_ref().map(|flag| flag.value)
}

fn changes(ok: &auth::OkHttpResponse) -> Option<Changes> {
    let mut changes = Changes::default();
    for option in &ok.headers {
        let pseudo = option.header.as_ref().filter(|header| header.key.starts_with(':'));
        let field = match pseudo {
            Some(core::HeaderValue { key, value, raw_value: _ }) => (key.clone(), value.as_bytes().to_vec()),
            None => field(option)?,
        };
        if field.0 != "host" && is_framing(&field.0) {
            continue;
        }
        if !can_set(&field) {
            return None;
        }
        if append(option) == Some(true) { changes.append.push(field) } else { changes.set.push(field) }
    }
    changes.remove = ok.headers_to_remove.iter().map(|name| name.to_ascii_lowercase()).collect();
    use core::header_value_option::HeaderAppendAction as Action;
    for option in &ok.response_headers_to_add {
        let field = field(option)?;
        if is_framing(&field.0) {
            continue;
        }
        let action = Action::try_from(option.append_action).ok()?;
        let response = &mut changes.response;
        let list = match (append(option), action) {
            (Some(true), _) | (None, Action::AppendIfExistsOrAdd) => &mut response.add,
            (Some(false), _) | (None, Action::OverwriteIfExistsOrAdd) => &mut response.set,
            (None, Action::AddIfAbsent) => &mut response.add_if_absent,
            (None, Action::OverwriteIfExists) => &mut response.overwrite,
        };
        list.push(field);
    }
    changes.query_set = ok.query_parameters_to_set.iter().map(|q| (q.key.clone(), q.value.clone())).collect();
    changes.query_remove.clone_from(&ok.query_parameters_to_remove);
    Some(changes)
}

/// Whether a service may write that into a request. Path and authority are parts of the head, the rest of it is not its own to change.
fn can_set((name, value): &Field) -> bool {
    match name.as_str() {
        ":path" => {
            value.starts_with(b"/") && value.iter().all(u8::is_ascii_graphic) && !value.contains(&b'#')
        }
        ":authority" | "host" => {
            !value.is_empty() && value.iter().all(|b| b.is_ascii_graphic() && !b"/?#@\\".contains(b))
        }
        name => !name.starts_with(':') && is_value(value),
    }
}

/// A refusal. Every name that is set is set anew, all values of it, as those of `set-cookie`.
fn denial(message: &auth::DeniedHttpResponse) -> Option<Denial> {
    let auth::DeniedHttpResponse { status, headers, body } = message;
    let mut denial = Denial { body: body.as_bytes().to_vec(), ..Denial::default() };
    if let Some(kind::HttpStatus { code }) = status
        && *code != 0
    {
        denial.status = u16::try_from(*code).ok().filter(|code| (200..600).contains(code));
    }
    for option in headers.iter().filter(|option| append(option) != Some(true)) {
        let (name, value) = field(option)?;
        if !is_framing(&name) {
            denial.headers.append(name.as_str(), &value);
        }
    }
    Some(denial)
}

/// What the answer of an HTTP server says.
pub fn of_http(service: &HttpAuth, head: &ResponseHead, body: Vec<u8>) -> Answer {
    if head.status >= 500 {
        return Answer::plain(Verdict::Failed(Box::default()));
    }
    let mut metadata = Fields::new();
    let mut changes = Changes::default();
    let mut denial = Denial { status: Some(head.status), body, ..Denial::default() };
    for line in head.headers.iter() {
        let name = line.name_str().to_ascii_lowercase();
        if name == TO_REMOVE {
            let text = line.value_str().unwrap_or_default();
            let names = text.split(',').map(|name| name.trim().to_ascii_lowercase());
            changes.remove.extend(names.filter(|name| !name.is_empty()));
            continue;
        }
        if is_framing(&name) {
            continue;
        }
        if any(&service.metadata, &name) {
            let text = String::from_utf8_lossy(line.value);
            metadata.insert(name.as_str().into(), Value::String(text.into()));
        }
        let always = ["www-authenticate", "location"].contains(&name.as_str());
        if service.client.is_empty() || always || any(&service.client, &name) {
            denial.headers.append(line.name_str(), line.value);
        }
        let field = || (name.clone(), line.value.to_vec());
        if any(&service.upstream, &name) {
            changes.set.push(field());
        }
        if any(&service.upstream_append, &name) {
            changes.add.push(field());
        }
        if any(&service.client_on_success, &name) {
            changes.response.add.push(field());
        }
    }
    let verdict =
        if head.status == 200 { Verdict::Allowed(changes.into()) } else { Verdict::Denied(denial.into()) };
    Answer { verdict, metadata }
}

impl Changes {
    /// Whether the request changes.
    pub fn is_empty(&self) -> bool {
        let Self { set, add, append, remove, query_set, query_remove, response: _ } = self;
        set.is_empty()
            && add.is_empty()
            && append.is_empty()
            && remove.is_empty()
            && query_set.is_empty()
            && query_remove.is_empty()
    }

    /// Changes the request.
    pub fn apply(&self, head: &mut RequestHead) {
        for (name, value) in &self.set {
            match name.as_str() {
                ":path" => head.path = String::from_utf8_lossy(value).into_owned(),
                ":authority" | "host" => head.authority = String::from_utf8_lossy(value).into_owned(),
                name => {
                    head.headers.set(name, value);
                }
            }
        }
        for (name, value) in &self.add {
            head.headers.append(name.as_str(), value);
        }
        for (name, value) in &self.append {
            // As in Envoy, only to what is there; in the form that it has there.
            if let Some(old) = head.headers.get(name.as_str()) {
                let joined = [old, b",", value].concat();
                head.headers.set(name.as_str(), &joined);
            }
        }
        for name in self.remove.iter().filter(|name| !is_framing(name)) {
            head.headers.remove(name.as_str());
        }
        if !self.query_set.is_empty() || !self.query_remove.is_empty() {
            header_mutation::change_query(head, &self.query_set, &self.query_remove);
        }
    }
}

impl ResponseChanges {
    /// Whether nothing changes.
    pub fn is_empty(&self) -> bool {
        let Self { add, set, add_if_absent, overwrite } = self;
        add.is_empty() && set.is_empty() && add_if_absent.is_empty() && overwrite.is_empty()
    }

    /// Changes the response.
    pub fn apply(&self, headers: &mut HeaderList) {
        for (name, value) in &self.add {
            headers.append(name.as_str(), value);
        }
        for (name, value) in &self.set {
            headers.set(name.as_str(), value);
        }
        for (name, value) in &self.add_if_absent {
            if !headers.contains(name.as_str()) {
                headers.append(name.as_str(), value);
            }
        }
        for (name, value) in &self.overwrite {
            if headers.contains(name.as_str()) {
                headers.set(name.as_str(), value);
            }
        }
    }
}

/// Brings a refusal into the form in which it goes out: with its status, and a body no longer than is wanted.
pub fn finished(filter: &ExtAuthz, mut denial: Denial, default: u16) -> (u16, Denial) {
    let status = denial.status.filter(|status| (200..600).contains(status)).unwrap_or(default);
    if let Some(most) = filter.max_denied_body {
        denial.body.truncate(most);
    }
    if matches!(status, 204 | 304) {
        denial.body.clear();
    }
    (status, denial)
}
