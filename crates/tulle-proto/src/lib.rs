//! Protobuf messages and type URLs that travel between control plane and data plane.
