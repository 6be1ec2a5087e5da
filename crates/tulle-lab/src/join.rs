//! Joins standard input and output with a TCP connection, as `nc` does.

use std::io;
use std::net::{Shutdown, TcpStream};
use std::process::ExitCode;

use crate::LabError;

/// Options of `tulle lab join`.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Where to connect to, as HOST:PORT.
    target: String,
}

/// Until the server has said everything.
pub(crate) fn run(args: &Args) -> Result<ExitCode, LabError> {
    let failed = |source| LabError::Join { target: args.target.clone(), source };
    let mut server = TcpStream::connect(&args.target).map_err(failed)?;
    let mut to = server.try_clone().map_err(failed)?;
    // Ends with the process: whoever asks may never end his side.
    std::thread::spawn(move || {
        let _ = io::copy(&mut io::stdin().lock(), &mut to);
        let _ = to.shutdown(Shutdown::Write);
    });
    let mut out = io::stdout().lock();
    // Whoever listens may have enough.
    let _ = copy_at_once(&mut server, &mut out);
    Ok(ExitCode::SUCCESS)
}

/// Passes on what comes as it comes: standard output waits for line breaks.
fn copy_at_once(from: &mut impl io::Read, to: &mut impl io::Write) -> io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match from.read(&mut buffer)? {
            0 => return Ok(()),
            len => to.write_all(&buffer[..len])?,
        }
        to.flush()?;
    }
}
