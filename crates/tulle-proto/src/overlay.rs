//! Merging into encoded messages, as protobuf merges: fields that are set win, messages are merged field by field, lists are
//! appended, entries of maps replace those with the same key.
//!
//! In an encoded message all that is what comes of writing one after the other. What must not be merged in this way is
//! known from descriptors, when an [`Overlay`] is made; merging needs none, so that it costs no more than the bytes.

use prost_reflect::prost::Message as _;
use prost_reflect::{DynamicMessage, ReflectMessage as _, Value};

use crate::json::is_wrapper;
use crate::wire::{Field, put};

/// Deeper than this nothing is looked for.
const MAX_DEPTH: usize = 64;

/// A message that is to be merged into others of its type.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overlay {
    bytes: Vec<u8>,
    /// Paths, by field number, to values that are replaced as a whole: a duration is no sum of its parts, and a wrapped
    /// `false` is meant.
    whole: Vec<Vec<u64>>,
    /// Paths to lists.
    lists: Vec<Vec<u64>>,
}

impl Overlay {
    pub(crate) fn of(message: &DynamicMessage) -> Self {
        let mut out = Self { bytes: message.encode_to_vec(), ..Self::default() };
        out.note(message, &mut Vec::new());
        out
    }

    /// The message itself, encoded.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// `message` with this merged into it. With `replace_lists`, lists that are written here stand in place of those of the
    /// message, at every depth. `None` when the bytes are no message.
    pub fn onto(&self, message: &[u8], replace_lists: bool) -> Option<Vec<u8>> {
        let lists: &[Vec<u64>] = if replace_lists { &self.lists } else { &[] };
        let gone: Vec<&[u64]> = self.whole.iter().chain(lists).map(Vec::as_slice).collect();
        let mut out = Vec::with_capacity(message.len() + self.bytes.len());
        without(message, &gone, &mut out)?;
        out.extend_from_slice(&self.bytes);
        Some(out)
    }

    fn note(&mut self, message: &DynamicMessage, path: &mut Vec<u64>) {
        if path.len() >= MAX_DEPTH {
            return;
        }
        for (field, value) in message.fields() {
            path.push(u64::from(field.number()));
            match value {
                Value::List(_) => self.lists.push(path.clone()),
                Value::Message(inner) if is_whole(inner.descriptor().full_name()) => {
                    self.whole.push(path.clone())
                }
                Value::Message(inner) => self.note(inner, path),
                _ => {}
            }
            path.pop();
        }
    }
}

/// Whether the values of a message are no parts by themselves.
fn is_whole(name: &str) -> bool {
    is_wrapper(name)
        || matches!(name, "google.protobuf.Duration" | "google.protobuf.Timestamp" | "google.protobuf.Any")
}

/// `message` without the fields at `paths`.
fn without(message: &[u8], paths: &[&[u64]], out: &mut Vec<u8>) -> Option<()> {
    if paths.is_empty() {
        out.extend_from_slice(message);
        return Some(());
    }
    let mut rest = message;
    while !rest.is_empty() {
        let field = Field::read(&mut rest)?;
        if paths.iter().any(|p| *p == [field.number]) {
            continue;
        }
        let below: Vec<&[u64]> =
            paths.iter().filter(|p| p.first() == Some(&field.number)).map(|p| &p[1..]).collect();
        match field.content {
            Some(content) if !below.is_empty() => {
                let mut inner = Vec::with_capacity(content.len());
                without(content, &below, &mut inner)?;
                put(field.number, &inner, out);
            }
            _ => out.extend_from_slice(field.raw),
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use prost::Message as _;
    use serde_json::{Value, json};

    use crate::envoy::cluster::Cluster;
    use crate::json::Json;
    use crate::type_url::CLUSTER;

    fn merged(below: &Value, above: &Value, replace_lists: bool) -> Value {
        let json = Json::load().unwrap();
        let bytes = json.encode(CLUSTER, below).unwrap();
        let out = json.overlay(CLUSTER, above).unwrap().onto(&bytes, replace_lists).unwrap();
        Cluster::decode(out.as_slice()).unwrap();
        json.decode(CLUSTER, &out).unwrap()
    }

    #[test]
    fn fields_win_messages_are_merged_and_lists_are_appended() {
        let below = json!({
            "name": "c", "connect_timeout": "1.5s", "alt_stat_name": "a",
            "circuit_breakers": {"thresholds": [{"max_retries": 1}]},
            "common_lb_config": {"healthy_panic_threshold": {"value": 10}},
        });
        let above = json!({
            "connect_timeout": "2s", "alt_stat_name": "b",
            "circuit_breakers": {"thresholds": [{"max_retries": 2}]},
            "common_lb_config": {"close_connections_on_host_set_change": true},
        });
        let out = merged(&below, &above, false);
        assert_eq!(
            (&out["name"], &out["connect_timeout"], &out["alt_stat_name"]),
            (&json!("c"), &json!("2s"), &json!("b"))
        );
        assert_eq!(out["circuit_breakers"]["thresholds"].as_array().map(Vec::len), Some(2));
        let lb =
            json!({"healthy_panic_threshold": {"value": 10.0}, "close_connections_on_host_set_change": true});
        assert_eq!(out["common_lb_config"], lb);
        let replaced = merged(&below, &above, true);
        assert_eq!(replaced["circuit_breakers"]["thresholds"], json!([{"max_retries": 2}]));
    }

    #[test]
    fn a_wrapped_false_and_another_choice_are_meant() {
        let out = merged(
            &json!({"name": "c", "upstream_connection_options": {"set_local_interface_name_on_upstream_connections": true},
                    "ring_hash_lb_config": {"minimum_ring_size": 7}, "lb_subset_config": {"list_as_any": true}}),
            &json!({"ring_hash_lb_config": {"minimum_ring_size": 0}}),
            false,
        );
        assert_eq!(out["ring_hash_lb_config"]["minimum_ring_size"], json!("0"));
        assert_eq!(out["lb_subset_config"]["list_as_any"], json!(true));
        let other = merged(
            &json!({"name": "c", "ring_hash_lb_config": {"minimum_ring_size": 7}}),
            &json!({"maglev_lb_config": {"table_size": 11}}),
            false,
        );
        assert_eq!(other.get("ring_hash_lb_config"), None, "{other}");
    }
}
