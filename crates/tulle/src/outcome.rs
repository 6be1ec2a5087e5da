//! How a command ends: the exit codes that scripts rely on.

use std::process::ExitCode;

/// What a command returns: its exit code, or why it failed.
pub(crate) type Outcome = Result<ExitCode, Failure>;

/// A failure with its exit code: 1 the thing asked about is not so or has errors, 2 wrong use or unreadable input,
/// 3 the mesh or a component cannot be reached.
#[derive(Debug)]
pub(crate) struct Failure {
    code: u8,
    error: anyhow::Error,
}

impl Failure {
    /// Exit code 1: the thing asked about is not so, or has errors.
    pub(crate) fn not_so(error: impl Into<anyhow::Error>) -> Self {
        Self { code: 1, error: error.into() }
    }

    /// Exit code 2: wrong use or unreadable input.
    pub(crate) fn usage(error: impl Into<anyhow::Error>) -> Self {
        Self { code: 2, error: error.into() }
    }

    /// The reason without its exit code, for a caller that answers somebody else.
    pub(crate) fn into_error(self) -> anyhow::Error {
        self.error
    }

    /// Exit code 3: the mesh or a component cannot be reached.
    pub(crate) fn unreachable(error: impl Into<anyhow::Error>) -> Self {
        Self { code: 3, error: error.into() }
    }

    /// Writes the reason to stderr and returns the exit code.
    #[allow(clippy::print_stderr, reason = "this is the one place where a failure reaches the user")]
    pub(crate) fn report(self) -> ExitCode {
        eprintln!("error: {:#}", self.error);
        ExitCode::from(self.code)
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::not_so(error)
    }
}
