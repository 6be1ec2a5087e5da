//! Worker threads: each owns sockets, pools and counters of its own and shares nothing on the path of a request.
//!
//! The main thread speaks to a worker by [`Command`]s and is answered by messages; see [`Fleet`].

pub(crate) mod alarm;
mod apply;
mod fleet;
mod query;
mod settings;
mod shared;
pub(crate) mod state;
pub(crate) mod timers;
mod update;

use std::{rc::Rc, sync::Arc};

use tokio::{sync::mpsc, task::LocalSet};

pub use self::{
    fleet::{BindError, Fleet, Remote},
    query::{EndpointStatus, Query, Vitals},
    settings::Settings,
    update::{Changes, Command, Delta, Shared, Update},
};
pub(crate) use state::Worker;

/// The life of a worker thread: obey commands until told to stop, while connections run as local tasks.
fn run(
    id: usize,
    runtime: &tokio::runtime::Runtime,
    settings: Arc<Settings>,
    mut commands: mpsc::UnboundedReceiver<Command>,
) {
    let local = LocalSet::new();
    local.block_on(runtime, async move {
        let worker = Rc::new(Worker::new(id, settings));
        while let Some(command) = commands.recv().await {
            match command {
                Command::Update(update) => apply::apply(&worker, *update),
                Command::Query(query) => apply::answer(&worker, query),
                Command::Drain(state) => worker.drain(state),
                Command::Stop => break,
            }
        }
        worker.stop();
        tokio::join!(
            worker.telemetry.collectors.flush(&worker),
            worker.telemetry.log_services.flush(&worker)
        );
    });
}
