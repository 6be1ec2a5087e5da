//! Starting a process in namespaces of its own.
//!
//! `std::process` can neither make namespaces at the moment of birth nor leave the reaping to somebody else (pid 1 of the
//! mesh reaps everything), so this is `clone3` and `execve`. Everything that allocates happens before the clone; between
//! clone and exec only system calls are made.
#![allow(unsafe_code, reason = "clone3 and execve have no safe form; this module is the only one that forks")]

use std::ffi::{CString, OsStr, OsString};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::os::unix::ffi::OsStrExt;

use rustix::process::Pid;

/// The namespaces that a child gets for itself. What is not named is shared with the parent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Namespaces {
    /// User namespace in which the caller's user is root. Needed for all the others without root.
    pub user: bool,
    /// Mounts, network, process ids, host name and System V IPC.
    pub machine: bool,
}

/// A process to be started: this program again, with other arguments.
#[derive(Debug, Default)]
pub struct Child<'a> {
    /// Arguments, the program's own name first.
    pub args: Vec<OsString>,
    /// The whole environment.
    pub env: Vec<(OsString, OsString)>,
    /// Descriptors and the numbers under which the child sees them; all others are closed by `execve`.
    pub fds: Vec<(BorrowedFd<'a>, RawFd)>,
    /// Its namespaces.
    pub namespaces: Namespaces,
    /// Whether the kernel kills the child when the thread that started it ends.
    pub dies_with_parent: bool,
    /// Whether it becomes the leader of a new session.
    pub new_session: bool,
}

/// What goes into the child's memory: pointers stay valid because this lives in the parent until after the clone.
struct Prepared {
    argv: Vec<*const libc::c_char>,
    envp: Vec<*const libc::c_char>,
    fds: Vec<(RawFd, RawFd)>,
    uid_map: CString,
    gid_map: CString,
    user: bool,
    dies_with_parent: bool,
    new_session: bool,
}

/// Below this number no descriptor is given to a child; while they are moved they stay above it.
const PARKED_FROM: RawFd = 200;

/// Starts this program again as a new process.
///
/// # Errors
/// What `clone3` said: `EPERM` or `ENOSPC` where user namespaces are forbidden or used up; `EINVAL` for text with a NUL in it.
pub fn spawn(child: &Child<'_>) -> io::Result<Pid> {
    let args: Vec<CString> = child.args.iter().map(|a| c_string(a)).collect::<io::Result<_>>()?;
    let env: Vec<CString> = child
        .env
        .iter()
        .map(|(k, v)| {
            let mut line = k.clone();
            line.push("=");
            line.push(v);
            c_string(&line)
        })
        .collect::<io::Result<_>>()?;
    let uid = rustix::process::geteuid().as_raw();
    let gid = rustix::process::getegid().as_raw();
    let prepared = Prepared {
        argv: pointers(&args),
        envp: pointers(&env),
        fds: child.fds.iter().map(|(fd, to)| (fd.as_raw_fd(), *to)).collect(),
        uid_map: c_string(OsStr::new(&format!("0 {uid} 1\n")))?,
        gid_map: c_string(OsStr::new(&format!("0 {gid} 1\n")))?,
        user: child.namespaces.user,
        dies_with_parent: child.dies_with_parent,
        new_session: child.new_session,
    };
    let mut flags = 0;
    if child.namespaces.user {
        flags |= libc::CLONE_NEWUSER;
    }
    if child.namespaces.machine {
        flags |= libc::CLONE_NEWNS
            | libc::CLONE_NEWNET
            | libc::CLONE_NEWPID
            | libc::CLONE_NEWUTS
            | libc::CLONE_NEWIPC;
    }
    // SAFETY: an all-zero clone_args is valid: no pidfd, no tid pointers, no stack (the child goes on on a copy of this one).
    let mut clone_args: libc::clone_args = unsafe { std::mem::zeroed() };
    clone_args.flags = u64::from(flags.cast_unsigned());
    clone_args.exit_signal = u64::from(libc::SIGCHLD.cast_unsigned());
    // SAFETY: without CLONE_VM this is fork: the child has its own copy of all memory. It only makes system calls
    // (`run_child` never allocates, locks or returns) until it becomes another program.
    let pid = unsafe {
        libc::syscall(libc::SYS_clone3, &raw mut clone_args, std::mem::size_of::<libc::clone_args>())
    };
    match pid {
        0 => run_child(&prepared),
        -1 => Err(io::Error::last_os_error()),
        pid => i32::try_from(pid)
            .ok()
            .and_then(Pid::from_raw)
            .ok_or_else(|| io::Error::other("clone3 returned no process id")),
    }
}

fn c_string(text: &OsStr) -> io::Result<CString> {
    CString::new(text.as_bytes()).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))
}

fn pointers(strings: &[CString]) -> Vec<*const libc::c_char> {
    strings.iter().map(|s| s.as_ptr()).chain([std::ptr::null()]).collect()
}

/// The child, up to `execve`. A failure ends it with status 127.
fn run_child(p: &Prepared) -> ! {
    // SAFETY: system calls on memory prepared before the clone; the vectors end in null pointers; the child is
    // single-threaded, and nothing here allocates.
    unsafe {
        if p.user {
            write_file(c"/proc/self/setgroups", b"deny");
            write_file(c"/proc/self/uid_map", p.uid_map.as_bytes());
            write_file(c"/proc/self/gid_map", p.gid_map.as_bytes());
        }
        if p.dies_with_parent && libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) != 0 {
            libc::_exit(127);
        }
        if p.new_session {
            libc::setsid();
        }
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const none, std::ptr::null_mut());
        libc::signal(libc::SIGPIPE, libc::SIG_DFL);
        // First out of the way, then into place: a target may be the number of another source.
        let mut parked = [(-1, -1); 16];
        for (slot, (from, to)) in parked.iter_mut().zip(&p.fds) {
            *slot = (libc::fcntl(*from, libc::F_DUPFD_CLOEXEC, PARKED_FROM), *to);
        }
        for (from, to) in parked {
            if from >= 0 && libc::dup2(from, to) < 0 {
                libc::_exit(127);
            }
        }
        libc::execve(c"/proc/self/exe".as_ptr(), p.argv.as_ptr(), p.envp.as_ptr());
        libc::_exit(127);
    }
}

/// Writes a file under `/proc`; a failure shows later, when the rights are missing.
///
/// # Safety
/// Makes system calls only; sound anywhere.
unsafe fn write_file(path: &std::ffi::CStr, bytes: &[u8]) {
    // SAFETY: `path` ends in NUL and `bytes` is readable for its whole length.
    unsafe {
        let fd = libc::open(path.as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC);
        if fd >= 0 {
            libc::write(fd, bytes.as_ptr().cast(), bytes.len());
            libc::close(fd);
        }
    }
}
