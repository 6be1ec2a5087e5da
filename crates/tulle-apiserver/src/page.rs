//! Lists in pieces: the pieces of one list come from one snapshot, which is kept for a while.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use tulle_api::Object;
use tulle_store::Version;

use crate::error::ApiError;

/// Snapshots that are kept.
const MAX_SNAPSHOTS: usize = 32;
/// How long one is kept, as etcd does in Kubernetes.
const AGE: Duration = Duration::from_secs(300);

/// The rest of a list.
#[derive(Clone, Debug)]
pub(crate) struct Snapshot {
    /// Version at which the list was made.
    pub version: Version,
    /// Everything selected then.
    pub objects: Arc<Vec<Arc<Object>>>,
}

/// The snapshots that somebody may ask for.
#[derive(Debug, Default)]
pub(crate) struct Pages(Mutex<VecDeque<(u64, Instant, Snapshot)>>);

impl Pages {
    /// Keeps a snapshot; returns the text to ask for what comes after its first `next` objects.
    pub(crate) fn keep(&self, snapshot: Snapshot, next: usize) -> String {
        let id = fastrand::u64(..);
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.push_back((id, Instant::now(), snapshot));
        while kept.len() > MAX_SNAPSHOTS || kept.front().is_some_and(|(_, at, _)| at.elapsed() > AGE) {
            kept.pop_front();
        }
        token(id, next)
    }

    /// What `text` asks for: the snapshot, the place in it, and its id.
    ///
    /// # Errors
    /// 400 if it is nothing that was given out, 410 if it was too long ago.
    pub(crate) fn find(&self, text: &str) -> Result<(Snapshot, usize, u64), ApiError> {
        let wrong = || ApiError::bad_request("continue key is not valid: it was not given out by this API");
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| wrong())?;
        let value: Value = serde_json::from_slice(&bytes).map_err(|_| wrong())?;
        let (Some(id), Some(next)) = (value["id"].as_u64(), value["next"].as_u64()) else {
            return Err(wrong());
        };
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let found = kept.iter().find(|(i, at, _)| *i == id && at.elapsed() <= AGE);
        let Some((_, _, snapshot)) = found else {
            let message = "The provided continue parameter is too old to display a consistent list result. \
                           You must start a new list without the continue parameter.";
            return Err(ApiError::expired(message));
        };
        Ok((snapshot.clone(), usize::try_from(next).unwrap_or(usize::MAX), id))
    }
}

/// The text that asks for a place in a snapshot.
pub(crate) fn token(id: u64, next: usize) -> String {
    URL_SAFE_NO_PAD.encode(json!({"id": id, "next": next}).to_string())
}
