//! Sidecar and gateway: sockets, TLS, pools and the life of a request.
//!
//! The main thread ([`boot`]) learns the configuration, compiles it and hands changes to the workers ([`worker`]); nothing else is
//! shared. On a worker, which is one thread, a request takes this path:
//!
//! 1. `listener::accept` takes a connection; `listener::connection` asks the kernel where it was going, hands it to the listener of
//!    that destination, looks at its first bytes (`listener::sniff`) and finds the filter chain that takes it;
//! 2. `tls` unwraps it, if the chain says so; the client's identity is read once and kept (`listener::facts`);
//! 3. a chain that forwards bytes goes on in `tcp`; one that speaks HTTP in `http::downstream` or `http::downstream_h2`, which read
//!    heads by the codecs of `tulle-http`;
//! 4. `http::exchange` brings the head in order and finds the route; `http::filters` may answer (authorization, faults, CORS, limits);
//! 5. `http::forward` picks cluster and endpoint (`cluster::local`), gets a connection (`http::upstream`: pooled or new), writes the
//!    request, and tries again where the engine decides so (`http::attempt`);
//! 6. `http::deliver` passes the response on, both bodies flowing until they end; the connection goes back to its endpoint's pool;
//! 7. `http::finish` counts and logs (`telemetry`), and makes spans where the request is sampled (`trace`).
//!
//! Every decision on the way is a pure function of `tulle-engine`; every byte goes through `net`.

mod admin;
pub mod boot;
mod cluster;
mod dns;
mod export;
mod http;
pub mod listener;
mod names;
mod net;
pub mod parsers;
mod tcp;
mod telemetry;
mod tls;
mod trace;
pub mod worker;
pub mod workload;
