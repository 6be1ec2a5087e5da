//! Protobuf messages and type URLs that travel between control plane and data plane.
//!
//! * [`envoy`]: Envoy's v3 messages under short module names (a published crate, re-exported in one place).
//! * [`istio`]: what Istio adds to them, written by hand: name tables, the CA's messages, filter configurations.
//! * [`telemetry`]: what proxies tell the control plane they counted, ours alone.
//! * [`otlp`]: traces and logs for OpenTelemetry's collectors.
//! * [`trust`]: what we add ourselves: whom proxies are to trust.
//! * [`type_url`]: every type URL that this project reads or writes, in one table.
//! * [`json`]: Envoy's YAML and JSON files to protobuf, and protobuf to JSON for dumps.
//! * [`message`]: reading and writing messages.
//! * [`any`]: packing into `google.protobuf.Any` and out of it.
//! * [`overlay`]: merging into encoded messages.
//! * [`wire`]: encoded messages field by field.
//!
//! Nothing here knows what a message means.

pub mod any;
pub mod envoy;
pub mod istio;
pub mod json;
pub mod message;
pub mod otlp;
pub mod overlay;
pub mod telemetry;
pub mod trust;
pub mod type_url;
pub mod wire;

pub use any::{AnyError, pack, unpack};
pub use envoy::google::Any;
pub use message::Message;
pub use overlay::Overlay;
