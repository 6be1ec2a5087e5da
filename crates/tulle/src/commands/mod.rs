//! The commands, one file each. A new one is a file here, a line in [`Command`] and a line in [`Command::run`].

mod analyze;
mod apply;
mod authz;
mod ca;
mod control_plane;
mod dashboard;
mod delete;
mod down;
mod exec;
mod get;
mod kubeconfig;
mod lab;
mod logs;
pub(crate) mod mesh;
mod mtls;
mod node;
mod proxy;
mod proxy_config;
mod proxy_status;
pub(crate) mod resources;
mod status;
mod tap;
mod tools;
mod top;
mod up;
mod validate;
mod version;
mod wait;
mod web;

use clap::Subcommand;

use crate::outcome::Outcome;

/// What `tulle` is asked to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Up(up::Args),
    Down(down::Args),
    Status(status::Args),
    Exec(exec::Args),
    Logs(logs::Args),
    Apply(apply::Args),
    Get(get::Args),
    Delete(delete::Args),
    Kubeconfig(kubeconfig::Args),
    Authz(authz::Args),
    Mtls(mtls::Args),
    Dashboard(dashboard::Args),
    Top(top::Args),
    Tap(Box<tap::Args>),
    Ca(ca::Args),
    ControlPlane(Box<control_plane::Args>),
    Lab(lab::Args),
    Proxy(proxy::Args),
    #[command(visible_alias = "pc")]
    ProxyConfig(Box<proxy_config::Args>),
    #[command(visible_alias = "ps")]
    ProxyStatus(Box<proxy_status::Args>),
    Validate(validate::Args),
    Analyze(analyze::Args),
    Version(version::Args),
    Wait(wait::Args),
    /// The node agent of a mesh; started by `up`.
    #[command(hide = true)]
    NodeAgent,
    /// The first process of a container; started by the node agent.
    #[command(hide = true)]
    NodeRun,
    /// Tries what the kernel can do; started by `up`.
    #[command(hide = true)]
    NodeCheck,
}

impl Command {
    /// Runs the command to its end.
    pub(crate) fn run(self) -> Outcome {
        match self {
            Self::Up(args) => up::run(args),
            Self::Down(args) => down::run(&args),
            Self::Status(args) => status::run(&args),
            Self::Exec(args) => exec::run(args),
            Self::Logs(args) => logs::run(args),
            Self::Apply(args) => apply::run(&args),
            Self::Get(args) => get::run(&args),
            Self::Delete(args) => delete::run(&args),
            Self::Kubeconfig(args) => kubeconfig::run(&args),
            Self::Authz(args) => authz::run(&args),
            Self::Mtls(args) => mtls::run(&args),
            Self::Dashboard(args) => dashboard::run(&args),
            Self::Top(args) => top::run(&args),
            Self::Tap(args) => tap::run(&args),
            Self::Ca(args) => ca::run(&args),
            Self::ControlPlane(args) => control_plane::run(*args),
            Self::Lab(args) => lab::run(args),
            Self::Proxy(args) => proxy::run(&args),
            Self::ProxyConfig(args) => proxy_config::run(*args),
            Self::ProxyStatus(args) => proxy_status::run(&args),
            Self::Validate(args) => validate::run(&args),
            Self::Analyze(args) => analyze::run(&args),
            Self::Version(args) => version::run(&args),
            Self::Wait(args) => wait::run(&args),
            Self::NodeAgent => Ok(node::agent()),
            Self::NodeRun => Ok(node::container()),
            Self::NodeCheck => Ok(node::check()),
        }
    }
}
