//! Opening the sockets that workers accept on. The main thread does this once per address.

use std::{
    fs, io,
    net::{SocketAddr, TcpListener},
    os::{
        fd::{AsFd, OwnedFd},
        linux::net::SocketAddrExt,
        unix::{
            fs::FileTypeExt,
            net::{SocketAddr as UnixAddr, UnixListener},
        },
    },
};

use socket2::{Domain, Protocol, Socket, Type};

/// How many connections may wait in one socket's accept queue; Envoy's `tcp_backlog_size` default.
const BACKLOG: i32 = 1024;

/// A socket that a worker accepts on.
#[derive(Debug)]
pub enum ListenSocket {
    /// At an IP address.
    Tcp(TcpListener),
    /// In the file system, or in the abstract namespace.
    Unix(UnixListener),
}

/// Opens a socket at `path`, the same accept queue for `count` workers. A leading `@` means the abstract namespace. A socket that
/// is there already is taken away first, as Envoy does: it is what an earlier process left; anything else that is there stays.
///
/// # Errors
/// When the path cannot be bound.
pub fn bind_unix(path: &str, count: usize) -> io::Result<Vec<UnixListener>> {
    let listener = match path.strip_prefix('@') {
        Some(name) => UnixListener::bind_addr(&UnixAddr::from_abstract_name(name)?)?,
        None => {
            if fs::symlink_metadata(path).is_ok_and(|m| m.file_type().is_socket()) {
                fs::remove_file(path)?;
            }
            UnixListener::bind(path)?
        }
    };
    listener.set_nonblocking(true)?;
    let mut all: Vec<UnixListener> = (1..count).map(|_| listener.try_clone()).collect::<Result<_, _>>()?;
    all.push(listener);
    Ok(all)
}

/// Opens `count` sockets on `address`, one per worker, sharing the port by `SO_REUSEPORT` so that the kernel spreads new
/// connections over them. Port 0 asks for a free port, the same for all. With `ipv4_compat` a socket at `::` takes IPv4 too,
/// otherwise IPv6 alone, so that another listener may have the port at `0.0.0.0`.
///
/// # Errors
/// When the address cannot be bound, for example because it is in use.
pub fn bind_shared(address: SocketAddr, ipv4_compat: bool, count: usize) -> io::Result<Vec<TcpListener>> {
    let mut address = address;
    let mut sockets = Vec::with_capacity(count);
    for _ in 0..count {
        let socket = bind_one(address, ipv4_compat)?;
        address = socket.local_addr()?;
        sockets.push(socket);
    }
    Ok(sockets)
}

fn bind_one(address: SocketAddr, ipv4_compat: bool) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(!ipv4_compat)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Duplicates a listening socket that was opened elsewhere (before the mesh's namespaces were made), one per worker. They
/// share one accept queue: whichever worker wakes first takes the connection.
///
/// # Errors
/// When the descriptor cannot be duplicated or set non-blocking.
pub fn duplicate(inherited: &OwnedFd, count: usize) -> io::Result<Vec<TcpListener>> {
    (0..count)
        .map(|_| {
            let socket = TcpListener::from(inherited.as_fd().try_clone_to_owned()?);
            socket.set_nonblocking(true)?;
            Ok(socket)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_of_one_listener_share_a_free_port() {
        let sockets = bind_shared("127.0.0.1:0".parse().unwrap(), false, 3).unwrap();
        let ports: Vec<u16> = sockets.iter().map(|s| s.local_addr().unwrap().port()).collect();
        assert_ne!(ports[0], 0);
        assert_eq!(ports, [ports[0]; 3]);
    }

    #[test]
    fn a_socket_of_the_file_system_takes_the_place_of_what_an_earlier_process_left() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let path = path.to_str().unwrap();
        drop(bind_unix(path, 1).unwrap());
        assert_eq!(bind_unix(path, 3).unwrap().len(), 3, "the file is still there");
        let file = dir.path().join("file");
        fs::write(&file, "mine").unwrap();
        bind_unix(file.to_str().unwrap(), 1).unwrap_err();
        assert_eq!(fs::read_to_string(file).unwrap(), "mine");
    }

    #[test]
    fn a_duplicate_listens_on_the_same_address() {
        let original = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = original.local_addr().unwrap();
        let copies = duplicate(&OwnedFd::from(original), 2).unwrap();
        assert!(copies.iter().all(|c| c.local_addr().unwrap() == address));
    }
}
