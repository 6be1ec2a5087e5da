//! Where everything lies in the state directory.

use std::path::{Path, PathBuf};

/// The state directory, seen from inside: what is below [`Paths::run`] is in memory and ends with the mesh.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paths {
    root: PathBuf,
}

/// Longest path of the directory: names of sockets in it must stay below 108 bytes.
pub const MAX_LENGTH: usize = 80;

impl Paths {
    /// In `root`, an absolute path.
    pub fn new(root: PathBuf) -> Self {
        Self { root }
    }

    /// The directory itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Held by a running mesh.
    pub fn lock(&self) -> PathBuf {
        self.root.join("lock")
    }

    /// What `tulle down` needs to know about a running mesh.
    pub fn running(&self) -> PathBuf {
        self.root.join("running.json")
    }

    /// Socket for `exec`, `status` and the like.
    pub fn control_socket(&self) -> PathBuf {
        self.root.join("control.sock")
    }

    /// What clients find the resource API with.
    pub fn kubeconfig(&self) -> PathBuf {
        self.root.join("kubeconfig")
    }

    /// Directory of the resource API: authority, tokens and what was written over it; it outlives the mesh.
    pub fn api(&self) -> PathBuf {
        self.root.join("api")
    }

    /// Output of containers.
    pub fn logs(&self) -> PathBuf {
        self.root.join("logs")
    }

    /// State of the control plane; it outlives the mesh.
    pub fn control_plane(&self) -> PathBuf {
        self.root.join("istiod")
    }

    /// A tmpfs in the mesh's mount namespace.
    pub fn run(&self) -> PathBuf {
        self.root.join("run")
    }

    /// Directory with the store's socket and the key for tokens.
    pub fn store(&self) -> PathBuf {
        self.run().join("store")
    }

    /// The store's socket.
    pub fn store_socket(&self) -> PathBuf {
        self.store().join("store.sock")
    }

    /// The public key for service account tokens.
    pub fn token_key(&self) -> PathBuf {
        self.store().join("token-key.pem")
    }

    /// Everything of one pod.
    pub fn pod(&self, uid: &str) -> PathBuf {
        self.run().join("pods").join(uid)
    }
}
