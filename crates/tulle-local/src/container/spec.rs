//! What a container's first process is told about itself.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Number under which the process finds its [`RunSpec`].
pub const SPEC_FD: i32 = 3;
/// Number of the pod's network namespace.
pub const NETNS_FD: i32 = 4;
/// Number of the pipe for the reason why the container could not be set up.
pub const STATUS_FD: i32 = 5;
/// First number of sockets handed on to the program itself.
pub const FIRST_PASSED_FD: i32 = 10;

/// Everything that `tulle node-run` does before it becomes the container's program.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunSpec {
    /// What to run.
    pub program: Program,
    /// Its environment, whole.
    pub env: Vec<(String, String)>,
    /// Where it starts; absent: `/`.
    pub cwd: Option<PathBuf>,
    /// User and group; absent: as the agent. Without effect where the mesh's user namespace knows no such user.
    pub user: Option<u32>,
    /// Group; absent: as the agent.
    pub group: Option<u32>,
    /// The kernel capabilities that remain; `None`: all.
    pub capabilities: Option<Vec<u8>>,
    /// Its place in the file system.
    pub place: Place,
}

/// What a container runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Program {
    /// This binary, with these arguments after its name.
    Own(Vec<String>),
    /// A program of the host: name or path, then arguments.
    Host(Vec<String>),
}

/// How a process comes by its view of the file system.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Place {
    /// A new one.
    New {
        /// Host name.
        hostname: String,
        /// What is mounted, in this order.
        mounts: Vec<Mount>,
        /// An empty directory on a tmpfs, for what must be made up.
        scratch: PathBuf,
    },
    /// That of a running process (its number in the agent's pid namespace).
    Join(i32),
}

/// One mount.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    /// What; absent: an empty directory that hides what is at `target`.
    pub source: Option<PathBuf>,
    /// Where. Missing directories are made up without touching the host's files.
    pub target: PathBuf,
    /// Whether it can be written to.
    pub read_only: bool,
}

/// The capabilities that a container keeps by default: those that container runtimes leave to it.
pub const DEFAULT_CAPABILITIES: [u8; 14] = [
    0,  // CHOWN
    1,  // DAC_OVERRIDE
    3,  // FOWNER
    4,  // FSETID
    5,  // KILL
    6,  // SETGID
    7,  // SETUID
    8,  // SETPCAP
    10, // NET_BIND_SERVICE
    13, // NET_RAW
    18, // SYS_CHROOT
    27, // MKNOD
    29, // AUDIT_WRITE
    31, // SETFCAP
];

/// Lets a process mark its sockets; a proxy needs it.
pub const CAP_NET_ADMIN: u8 = 12;

/// The number of a capability by its name without `CAP_`, as manifests write it.
pub fn capability(name: &str) -> Option<u8> {
    const NAMES: [&str; 41] = [
        "CHOWN",
        "DAC_OVERRIDE",
        "DAC_READ_SEARCH",
        "FOWNER",
        "FSETID",
        "KILL",
        "SETGID",
        "SETUID",
        "SETPCAP",
        "LINUX_IMMUTABLE",
        "NET_BIND_SERVICE",
        "NET_BROADCAST",
        "NET_ADMIN",
        "NET_RAW",
        "IPC_LOCK",
        "IPC_OWNER",
        "SYS_MODULE",
        "SYS_RAWIO",
        "SYS_CHROOT",
        "SYS_PTRACE",
        "SYS_PACCT",
        "SYS_ADMIN",
        "SYS_BOOT",
        "SYS_NICE",
        "SYS_RESOURCE",
        "SYS_TIME",
        "SYS_TTY_CONFIG",
        "MKNOD",
        "LEASE",
        "AUDIT_WRITE",
        "AUDIT_CONTROL",
        "SETFCAP",
        "MAC_OVERRIDE",
        "MAC_ADMIN",
        "SYSLOG",
        "WAKE_ALARM",
        "BLOCK_SUSPEND",
        "AUDIT_READ",
        "PERFMON",
        "BPF",
        "CHECKPOINT_RESTORE",
    ];
    let name = name.strip_prefix("CAP_").unwrap_or(name);
    NAMES.iter().position(|n| *n == name).and_then(|i| u8::try_from(i).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capabilities_have_the_kernels_numbers() {
        assert_eq!(capability("NET_ADMIN"), Some(CAP_NET_ADMIN));
        assert_eq!(capability("CAP_AUDIT_WRITE"), Some(29));
        assert_eq!(capability("SETFCAP"), Some(31));
        assert_eq!(capability("CHECKPOINT_RESTORE"), Some(40));
        assert_eq!(capability("ALL"), None);
    }
}
