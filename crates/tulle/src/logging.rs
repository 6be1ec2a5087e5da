//! Logging to stderr: text on a terminal, text or JSON elsewhere, levels changeable while running.

use std::io::IsTerminal;
use std::sync::OnceLock;

use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::reload;
use tracing_subscriber::{Layer, Registry, fmt};

use crate::outcome::Failure;

static LEVELS: OnceLock<reload::Handle<Targets, Registry>> = OnceLock::new();

/// Starts logging. `levels` is `info` or `TARGET=LEVEL,...`.
///
/// # Errors
/// Wrong use, if `levels` cannot be read.
pub(crate) fn start(levels: &str, json: bool) -> Result<(), Failure> {
    let (filter, handle) = reload::Layer::new(parse(levels)?);
    let colour = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let plain = fmt::layer().with_writer(std::io::stderr).with_ansi(colour).with_target(true);
    let result = if json {
        tracing::subscriber::set_global_default(Registry::default().with(plain.json().with_filter(filter)))
    } else {
        tracing::subscriber::set_global_default(Registry::default().with(plain.with_filter(filter)))
    };
    result.map_err(|e| Failure::not_so(anyhow::anyhow!("logging was started twice: {e}")))?;
    LEVELS.set(handle).map_err(|_| Failure::not_so(anyhow::anyhow!("logging was started twice")))
}

/// Changes what is logged from now on.
///
/// # Errors
/// Wrong use, if `levels` cannot be read.
pub(crate) fn set_levels(levels: &str) -> Result<(), Failure> {
    let targets = parse(levels)?;
    if let Some(handle) = LEVELS.get() {
        handle.reload(targets).map_err(|e| Failure::not_so(anyhow::anyhow!("levels not changed: {e}")))?;
    }
    Ok(())
}

/// What is logged now, as `LEVEL` or `TARGET=LEVEL,...`.
pub(crate) fn levels() -> String {
    let shown = LEVELS.get().and_then(|handle| handle.with_current(ToString::to_string).ok());
    shown.unwrap_or_default()
}

fn parse(levels: &str) -> Result<Targets, Failure> {
    levels.parse().map_err(|e| {
        Failure::usage(anyhow::anyhow!(
            "--log {levels}: {e}; write one of error, warn, info, debug, trace, or TARGET=LEVEL pairs with commas"
        ))
    })
}
