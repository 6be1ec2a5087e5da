//! Programs that stand for container images, so that demos and tests run where there is no container runtime.
//!
//! Each is an ordinary program that knows nothing of the mesh: it listens, calls its neighbours by their service names and
//! forwards trace headers, as the images of the same name do. `tulle lab NAME` runs one.

mod bookinfo;
mod client;
mod demos;
mod drip;
mod echo;
mod fetch;
mod hold;
mod httpbin;
mod images;
mod join;
mod load;
mod server;
mod trace;

use std::process::ExitCode;

pub use demos::{DEMOS, Demo, demo};
pub use images::{KNOWN_IMAGES, Program, program_for_image};
pub use server::ServeError;

/// The programs, as subcommands of `tulle lab`.
#[derive(Debug, clap::Subcommand)]
pub enum Lab {
    /// Bookinfo's front page: calls details and reviews.
    Productpage(bookinfo::productpage::Args),
    /// Bookinfo's details service.
    Details(bookinfo::details::Args),
    /// Bookinfo's reviews service; v2 and v3 call ratings.
    Reviews(bookinfo::reviews::Args),
    /// Bookinfo's ratings service.
    Ratings(bookinfo::ratings::Args),
    /// A request and response test service with the common httpbin paths.
    Httpbin(httpbin::Args),
    /// Answers with what it was sent: HTTP on one port, raw TCP on another.
    Echo(echo::Args),
    /// Fetches a URL, with curl's most used options; sleeps if there is no URL.
    Curl(fetch::Args),
    /// Sends requests for a while and reports what came back.
    Load(load::Args),
    /// Holds TCP connections open against an echo server and reports what happened to them.
    Hold(hold::Args),
    /// Joins standard input and output with a TCP connection.
    Join(join::Args),
}

/// Why a program of the lab ended.
#[derive(Debug, thiserror::Error)]
pub enum LabError {
    /// The program's listener failed.
    #[error(transparent)]
    Serve(#[from] ServeError),
    /// A URL could not be used.
    #[error(transparent)]
    Client(#[from] client::ClientError),
    /// A connection could not be made.
    #[error("cannot connect to {target}: {source}")]
    Join {
        /// Where to.
        target: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The runtime could not start.
    #[error("the asynchronous runtime did not start: {0}")]
    Runtime(#[source] std::io::Error),
}

/// Runs one program until it ends or is told to stop (SIGTERM, SIGINT).
///
/// # Errors
/// The program's own failure, such as a port in use.
pub fn run(program: Lab) -> Result<ExitCode, LabError> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(LabError::Runtime)?;
    runtime.block_on(async {
        match program {
            Lab::Productpage(args) => bookinfo::productpage::run(args).await.map(|()| ExitCode::SUCCESS),
            Lab::Details(args) => bookinfo::details::run(args).await.map(|()| ExitCode::SUCCESS),
            Lab::Reviews(args) => bookinfo::reviews::run(args).await.map(|()| ExitCode::SUCCESS),
            Lab::Ratings(args) => bookinfo::ratings::run(args).await.map(|()| ExitCode::SUCCESS),
            Lab::Httpbin(args) => httpbin::run(args).await.map(|()| ExitCode::SUCCESS),
            Lab::Echo(args) => echo::run(args).await.map(|()| ExitCode::SUCCESS),
            Lab::Curl(args) => fetch::run(args).await,
            Lab::Load(args) => load::run(args).await,
            Lab::Hold(args) => hold::run(args).await,
            Lab::Join(args) => join::run(&args),
        }
    })
}
