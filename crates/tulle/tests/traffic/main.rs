//! Behaviours of a whole mesh, run as its users run it: `tulle up`, real processes, namespaces and proxies.
//!
//! They need root or user namespaces; where neither is allowed they fail, because then the product does not work either.
#![allow(clippy::unwrap_used, clippy::print_stderr, missing_docs, unreachable_pub, reason = "tests")]

mod asking;
mod authorization;
mod bad_input;
mod boards;
mod bookinfo;
mod changes;
mod dashboard;
mod families;
mod gateway_api;
mod gateways;
mod golden;
mod harness;
mod hosts;
mod ingress;
mod least;
mod limits;
mod log_services;
mod looked_up;
mod manifests;
mod near;
mod networks;
mod parts;
mod passing;
mod prometheus;
mod promises;
mod protocols;
mod proxy_config;
mod rotation;
mod routing;
mod secrets;
mod security;
mod sessions;
mod settings;
mod stated;
mod status;
mod survival;
mod taker;
mod telemetry;
mod tokens;
mod traces;
mod wire;
