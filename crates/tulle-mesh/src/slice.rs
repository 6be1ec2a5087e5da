//! EndpointSlices, as far as endpoints are made from them.

use crate::meta::NsName;

/// One EndpointSlice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slice {
    /// The Service it belongs to.
    pub service: NsName,
    /// Ports by name (empty for the only one).
    pub ports: Vec<(String, u16)>,
    /// Addresses.
    pub endpoints: Vec<SliceEndpoint>,
}

/// One endpoint of a slice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SliceEndpoint {
    /// Its addresses: all the same endpoint, the first is used.
    pub addresses: Vec<String>,
    /// Ready to serve new requests. Missing conditions mean yes.
    pub ready: bool,
    /// The pod there.
    pub pod: Option<NsName>,
    /// Zone.
    pub zone: String,
    /// Node.
    pub node: String,
}
