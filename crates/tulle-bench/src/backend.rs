//! The backend (one thread, epoll, 64 bytes for every request: what it costs is nobody's figure, but it shares the CPU),
//! and the floor: a relay that moves bytes and looks at none.

use anyhow::Context;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use std::collections::HashMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsRawFd;

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 64\r\n\r\n\
    0123456789012345678901234567890123456789012345678901234567890123";
const LISTENER: u64 = u64::MAX;

/// Serves until killed.
pub(crate) fn run(port: u16) -> anyhow::Result<()> {
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
    let listener = TcpListener::bind(("127.0.0.1", port)).context("cannot bind the backend's port")?;
    listener.set_nonblocking(true)?;
    let poll = epoll::create(CreateFlags::CLOEXEC)?;
    epoll::add(&poll, &listener, EventData::new_u64(LISTENER), EventFlags::IN)?;
    let mut connections: HashMap<u64, TcpStream> = HashMap::new();
    let mut events = Vec::with_capacity(256);
    let mut buffer = vec![0; 64 * 1024];
    let mut answers = Vec::new();
    loop {
        events.clear();
        epoll::wait(&poll, rustix::buffer::spare_capacity(&mut events), None)?;
        for event in &events {
            let Event { data, .. } = *event;
            if data.u64() == LISTENER {
                while let Ok((stream, _)) = listener.accept() {
                    stream.set_nonblocking(true)?;
                    stream.set_nodelay(true)?;
                    let id = stream.as_raw_fd() as u64;
                    epoll::add(&poll, &stream, EventData::new_u64(id), EventFlags::IN)?;
                    connections.insert(id, stream);
                }
            } else if let Some(stream) = connections.get_mut(&data.u64())
                && !serve(stream, &mut buffer, &mut answers)
            {
                connections.remove(&data.u64());
            }
        }
    }
}

/// Moves bytes between clients and `upstream` until killed: what a proxy would cost if it did nothing.
pub(crate) fn relay(port: u16, upstream: u16) -> anyhow::Result<()> {
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
    let listener = TcpListener::bind(("127.0.0.1", port)).context("cannot bind the relay's port")?;
    listener.set_nonblocking(true)?;
    let poll = epoll::create(CreateFlags::CLOEXEC)?;
    epoll::add(&poll, &listener, EventData::new_u64(LISTENER), EventFlags::IN)?;
    // Each descriptor with the stream behind it and the descriptor of the other side.
    let mut sides: HashMap<u64, (TcpStream, u64)> = HashMap::new();
    let mut events = Vec::with_capacity(256);
    let mut buffer = vec![0; 64 * 1024];
    loop {
        events.clear();
        epoll::wait(&poll, rustix::buffer::spare_capacity(&mut events), None)?;
        for event in &events {
            let Event { data, .. } = *event;
            if data.u64() == LISTENER {
                while let Ok((client, _)) = listener.accept() {
                    let server = TcpStream::connect(("127.0.0.1", upstream))?;
                    let ids = [client.as_raw_fd() as u64, server.as_raw_fd() as u64];
                    for (stream, at) in [(client, 0), (server, 1)] {
                        stream.set_nonblocking(true)?;
                        stream.set_nodelay(true)?;
                        epoll::add(&poll, &stream, EventData::new_u64(ids[at]), EventFlags::IN)?;
                        sides.insert(ids[at], (stream, ids[1 - at]));
                    }
                }
            } else if !carry(&mut sides, data.u64(), &mut buffer)
                && let Some((_, other)) = sides.remove(&data.u64())
            {
                sides.remove(&other);
            }
        }
    }
}

fn carry(sides: &mut HashMap<u64, (TcpStream, u64)>, id: u64, buffer: &mut [u8]) -> bool {
    let Some((from, other)) = sides.get_mut(&id) else { return true };
    let (read, other) = (from.read(buffer), *other);
    match read {
        Ok(0) => false,
        Ok(len) => sides.get_mut(&other).is_some_and(|(to, _)| to.write_all(&buffer[..len]).is_ok()),
        Err(error) => error.kind() == ErrorKind::WouldBlock,
    }
}

/// Answers what one read brings; `false` when the connection is over. Clients send whole heads without bodies.
fn serve(stream: &mut TcpStream, buffer: &mut [u8], answers: &mut Vec<u8>) -> bool {
    match stream.read(buffer) {
        Ok(0) => false,
        Ok(len) => {
            let requests = buffer[..len].windows(4).filter(|end| end == b"\r\n\r\n").count();
            answers.clear();
            for _ in 0..requests {
                answers.extend_from_slice(ANSWER);
            }
            stream.write_all(answers).is_ok()
        }
        Err(error) => error.kind() == ErrorKind::WouldBlock,
    }
}
