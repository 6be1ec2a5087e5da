//! Sidecar and gateway: sockets, TLS, pools and the life of a request.
