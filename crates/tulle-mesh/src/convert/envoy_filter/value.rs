//! What a patch brings: from JSON to the message that it means.

use serde_json::{Map, Value};
use tulle_base::FieldPath;
use tulle_proto::Overlay;
use tulle_proto::json::{Json, JsonError};
use tulle_proto::type_url;

use super::super::cx::Cx;
use crate::envoy_filter::{ApplyTo, PatchValue};

/// Messages that hold another one as a structure, which many published filters use.
const TYPED_STRUCTS: [&str; 2] = ["udpa.type.v1.TypedStruct", "xds.type.v3.TypedStruct"];

/// The message behind a value that stands at `at`.
pub(super) fn message(cx: &mut Cx<'_>, at: &str, apply_to: ApplyTo, value: &Value) -> Option<PatchValue> {
    let name = match apply_to {
        ApplyTo::Listener => type_url::LISTENER,
        ApplyTo::Cluster => type_url::CLUSTER,
        ApplyTo::RouteConfiguration => type_url::ROUTE_CONFIGURATION,
        ApplyTo::FilterChain => "envoy.config.listener.v3.FilterChain",
        ApplyTo::NetworkFilter => "envoy.config.listener.v3.Filter",
        ApplyTo::ListenerFilter => "envoy.config.listener.v3.ListenerFilter",
        ApplyTo::HttpFilter => "envoy.extensions.filters.network.http_connection_manager.v3.HttpFilter",
        ApplyTo::VirtualHost => "envoy.config.route.v3.VirtualHost",
        ApplyTo::HttpRoute => "envoy.config.route.v3.Route",
        ApplyTo::ExtensionConfig => "envoy.config.core.v3.TypedExtensionConfig",
    };
    let mut written = Written { at, unfolded: Vec::new() };
    let value = written.unfold(value, &FieldPath::root());
    let before = cx.notes.len();
    written.unsupported(cx, &FieldPath::root(), &value);
    if cx.notes.len() > before {
        return None;
    }
    let json = cx.json.clone();
    let json = match json.get() {
        Ok(json) => json,
        Err(error) => {
            cx.refuse(at, &format!("cannot be read: {error}"), "");
            return None;
        }
    };
    let message = written.overlay(cx, json, name, &value, "")?;
    // What is merged by itself: the configuration of a filter, or of a transport socket.
    let member = |v: &Value, snake: &str, camel: &str| match v.get(snake) {
        Some(found) => Some((found.clone(), snake.to_owned())),
        None => Some((v.get(camel)?.clone(), camel.to_owned())),
    };
    let holder = match apply_to {
        ApplyTo::NetworkFilter | ApplyTo::HttpFilter | ApplyTo::ListenerFilter => {
            Some((value, String::new()))
        }
        ApplyTo::FilterChain | ApplyTo::Cluster => member(&value, "transport_socket", "transportSocket"),
        _ => None,
    };
    let typed = holder.and_then(|(holder, path)| {
        let (typed, below) = member(&holder, "typed_config", "typedConfig")?;
        let url = typed.get("@type")?.as_str()?.to_owned();
        Some((typed, url, joined(&path, &below)))
    });
    let typed_config = match typed {
        None => None,
        Some((typed, url, path)) => {
            let overlay = written.overlay(cx, json, &url, &typed, &path)?;
            Some((url, overlay))
        }
    };
    Some(PatchValue { message, typed_config })
}

/// The value as it was written, for what is said about it.
struct Written<'a> {
    at: &'a str,
    /// Where structures were that hold messages.
    unfolded: Vec<String>,
}

impl Written<'_> {
    /// The value with messages in place of structures that hold them.
    fn unfold(&mut self, value: &Value, at: &FieldPath) -> Value {
        match value {
            Value::Object(members) => match held(members) {
                Some((url, inner)) => {
                    self.unfolded.push(at.as_str().to_owned());
                    let mut out = Map::from_iter([("@type".to_owned(), url.clone())]);
                    let inner = inner.iter().filter(|(name, _)| *name != "@type");
                    out.extend(inner.map(|(name, v)| (name.clone(), self.unfold(v, &at.field(name)))));
                    Value::Object(out)
                }
                None => {
                    let all = members.iter().map(|(name, v)| (name.clone(), self.unfold(v, &at.field(name))));
                    Value::Object(all.collect())
                }
            },
            Value::Array(items) => {
                items.iter().enumerate().map(|(i, v)| self.unfold(v, &at.index(i))).collect()
            }
            other => other.clone(),
        }
    }

    /// Refuses extensions that proxies do not implement, wherever they are in the value.
    fn unsupported(&self, cx: &mut Cx<'_>, at: &FieldPath, value: &Value) {
        match value {
            Value::Object(members) => {
                if let Some(Value::String(url)) = members.get("@type")
                    && !type_url::is_extension(url)
                {
                    let message = format!("{url} is refused: proxies of this mesh have no such extension");
                    let fix = "docs/envoyfilter.md lists what there is; the other patches are in force";
                    return cx.refuse(&self.path(at.field("@type").as_str()), &message, fix);
                }
                for (name, member) in members {
                    self.unsupported(cx, &at.field(name), member);
                }
            }
            Value::Array(items) => {
                for (i, item) in items.iter().enumerate() {
                    self.unsupported(cx, &at.index(i), item);
                }
            }
            _ => {}
        }
    }

    /// The message `name`, from what stands at `below` of the value.
    fn overlay(
        &self,
        cx: &mut Cx<'_>,
        json: &Json,
        name: &str,
        value: &Value,
        below: &str,
    ) -> Option<Overlay> {
        match json.overlay(name, value) {
            Ok(overlay) => Some(overlay),
            Err(JsonError::Fields(problems)) => {
                for problem in problems {
                    let path = self.path(&joined(below, problem.path.as_str()));
                    cx.refuse(&path, &problem.message, "correct it, or take it away");
                }
                None
            }
            Err(other) => {
                cx.refuse(&self.path(below), &other.to_string(), "");
                None
            }
        }
    }

    /// The path in the document of what stands at `below` in the unfolded value.
    fn path(&self, below: &str) -> String {
        let holds =
            |outer: &&String| below.strip_prefix(outer.as_str()).is_some_and(|rest| rest.starts_with('.'));
        let below = match self.unfolded.iter().filter(holds).max_by_key(|p| p.len()) {
            Some(outer) => match &below[outer.len()..] {
                ".@type" => format!("{outer}.type_url"),
                rest => format!("{outer}.value{rest}"),
            },
            None => below.to_owned(),
        };
        joined(self.at, &below)
    }
}

/// Type and members of the message that a structure holds.
fn held(members: &Map<String, Value>) -> Option<(&Value, &Map<String, Value>)> {
    let outer = members.get("@type")?.as_str()?;
    if !TYPED_STRUCTS.contains(&tulle_proto::any::full_name(outer)) {
        return None;
    }
    let url = members.get("type_url").or_else(|| members.get("typeUrl"))?;
    static NOTHING: std::sync::LazyLock<Map<String, Value>> = std::sync::LazyLock::new(Map::new);
    match members.get("value") {
        None => Some((url, &NOTHING)),
        Some(value) => Some((url, value.as_object()?)),
    }
}

fn joined(at: &str, below: &str) -> String {
    let dot = if at.is_empty() || below.is_empty() || below.starts_with('[') { "" } else { "." };
    format!("{at}{dot}{below}")
}
