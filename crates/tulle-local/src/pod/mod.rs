//! Pods at work: containers started in order, watched, probed, restarted and stopped.

pub mod env;
mod leftovers;
pub mod logs;
pub mod plan;
pub mod probe;
pub mod restart;
pub mod run;
pub mod state;
mod supervise;
