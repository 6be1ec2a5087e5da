//! The bootstrap's runtime layers. The keys that limit connections are read; nothing else can be overridden.

use tulle_base::agent::ConnectionLimits;
use tulle_proto::envoy::bootstrap as pb;

use super::context::{At, Context};
use super::value::fields;
use crate::runtime::metadata::{Fields, Value};

/// Most connections of all listeners.
const ALL: &str = "overload.global_downstream_max_connections";
/// What stands before and behind the name of a listener in the key of its limit.
const LISTENER: (&str, &str) = ("envoy.resource_limits.listener.", ".connection_limit");
/// Why other keys do nothing.
const FIXED: &str = "only limits on connections are read from the runtime";

/// The limits in the layers, of which the last that says something wins.
pub(super) fn limits(
    cx: &mut Context<'_>,
    at: &At<'_>,
    message: Option<&pb::LayeredRuntime>,
) -> ConnectionLimits {
    use pb::runtime_layer::LayerSpecifier;
    let mut out = ConnectionLimits::default();
    let Some(pb::LayeredRuntime { layers }) = message else { return out };
    let list_at = at.field("layers");
    for (i, pb::RuntimeLayer { name: _, layer_specifier }) in layers.iter().enumerate() {
        let at = list_at.index(i);
        match layer_specifier {
            Some(LayerSpecifier::StaticLayer(written)) => {
                let at = at.field("static_layer");
                let written = fields(cx, &at, written);
                keys(cx, &at, "", &written, &mut out);
            }
            // Nothing is in it until somebody changes something.
            Some(LayerSpecifier::AdminLayer(_)) => {
                cx.note(&at.field("admin_layer"), "there is no /runtime_modify")
            }
            Some(LayerSpecifier::DiskLayer(_)) => cx.note(&at.field("disk_layer"), FIXED),
            Some(LayerSpecifier::RtdsLayer(_)) => cx.note(&at.field("rtds_layer"), FIXED),
            None => {}
        }
    }
    out
}

/// Keys may be written with dots, or one in the other.
fn keys(cx: &mut Context<'_>, at: &At<'_>, above: &str, written: &Fields, out: &mut ConnectionLimits) {
    for (key, value) in written {
        let here = at.field(key);
        let path = format!("{above}{key}");
        if let Value::Struct(inner) = value {
            keys(cx, &here, &format!("{path}."), inner, out);
            continue;
        }
        let listener = path.strip_prefix(LISTENER.0).and_then(|p| p.strip_suffix(LISTENER.1));
        if listener.is_none() && path != ALL {
            cx.note(&here, FIXED);
            continue;
        }
        let Some(most) = whole(value) else {
            cx.refuse(&here, "must be a whole number, 0 or more");
            continue;
        };
        match listener {
            Some(name) => drop(out.by_name.insert(name.to_owned(), most)),
            None => out.all = Some(most),
        }
    }
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "whole, and within the range that was asked for"
)]
fn whole(value: &Value) -> Option<u64> {
    match value {
        Value::Number(n) if n.fract() == 0.0 && (0.0..=f64::from(u32::MAX)).contains(n) => Some(*n as u64),
        Value::String(text) => text.parse().ok(),
        _ => None,
    }
}
