//! Log files, written in batches.

use std::{
    cell::{Cell, RefCell},
    fs::{File, OpenOptions},
    io::{self, Write},
    rc::Rc,
    time::Duration,
};

use tulle_engine::runtime::access_log::LogSink;

/// How much is collected before it is written.
const BATCH: usize = 32 * 1024;
/// How long a line may wait.
const DELAY: Duration = Duration::from_millis(200);

/// The open sinks of a worker.
#[derive(Debug, Default)]
pub(crate) struct Sinks(RefCell<Vec<Rc<Sink>>>);

/// One place where lines go. Lines of one worker stay in order; a batch is one write, so that workers do not mix lines.
#[derive(Debug)]
pub(crate) struct Sink {
    target: LogSink,
    file: RefCell<Option<File>>,
    lines: RefCell<Vec<u8>>,
    scheduled: Cell<bool>,
}

impl Sinks {
    /// The sink for `target`, shared by all who log there.
    pub(crate) fn get(&self, target: &LogSink) -> Rc<Sink> {
        let mut sinks = self.0.borrow_mut();
        if let Some(sink) = sinks.iter().find(|s| s.target == *target) {
            return Rc::clone(sink);
        }
        let sink = Rc::new(Sink {
            target: target.clone(),
            file: RefCell::new(None),
            lines: RefCell::default(),
            scheduled: Cell::new(false),
        });
        sinks.push(Rc::clone(&sink));
        sink
    }

    /// Writes everything out.
    pub(crate) fn flush(&self) {
        self.0.borrow().iter().for_each(|sink| sink.flush());
    }
}

impl Sink {
    /// Lets `line` append one line.
    pub(crate) fn write(self: &Rc<Self>, line: impl FnOnce(&mut Vec<u8>)) {
        let mut lines = self.lines.borrow_mut();
        line(&mut lines);
        let full = lines.len() >= BATCH;
        drop(lines);
        if full {
            self.flush();
        } else if !self.scheduled.replace(true) {
            let sink = Rc::clone(self);
            tokio::task::spawn_local(async move {
                tokio::time::sleep(DELAY).await;
                sink.scheduled.set(false);
                sink.flush();
            });
        }
    }

    /// Writes out what waits. A sink that cannot be written to loses its lines and says so.
    fn flush(&self) {
        let mut lines = self.lines.borrow_mut();
        if lines.is_empty() {
            return;
        }
        if let Err(error) = self.write_out(&lines) {
            tracing::warn!(sink = ?self.target, %error, "access log lines lost");
            *self.file.borrow_mut() = None;
        }
        lines.clear();
        lines.shrink_to(2 * BATCH);
    }

    fn write_out(&self, bytes: &[u8]) -> io::Result<()> {
        let mut file = self.file.borrow_mut();
        let file = match &mut *file {
            Some(file) => file,
            None => {
                let path = match &self.target {
                    LogSink::File(path) => &**path,
                    LogSink::Stdout => "/dev/stdout",
                    LogSink::Stderr => "/dev/stderr",
                };
                file.insert(OpenOptions::new().create(true).append(true).open(path)?)
            }
        };
        file.write_all(bytes)
    }
}
