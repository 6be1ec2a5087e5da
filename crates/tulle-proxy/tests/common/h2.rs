//! HTTP/2 in tests: a blocking client and server around the codec.

use std::{
    collections::HashMap,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use bytes::{Buf as _, BytesMut};
use tulle_http::{
    HeaderList, RequestHead, ResponseHead,
    h2::{Config, Connection, Event, Role, StreamId},
};

use super::Backend;

/// A message as it was received.
#[derive(Debug, Default)]
pub struct Received {
    pub status: u16,
    pub headers: HeaderList,
    pub body: Vec<u8>,
    pub trailers: HeaderList,
    /// It ended in a reset.
    pub reset: bool,
}

/// A client's HTTP/2 connection.
pub struct H2Client {
    stream: TcpStream,
    codec: Connection,
    inbox: BytesMut,
    /// GOAWAY has come.
    pub going_away: bool,
}

fn write_out(stream: &mut TcpStream, codec: &mut Connection) {
    codec.flush();
    while !codec.output().is_empty() {
        // A peer that has closed is noticed by reading.
        let Ok(count) = stream.write(codec.output().chunk()) else { return };
        codec.output().advance(count);
        codec.flush();
    }
}

/// A request for this path.
pub fn head(path: &str) -> RequestHead {
    RequestHead { path: path.to_owned(), authority: "test".to_owned(), ..RequestHead::default() }
}

impl H2Client {
    pub fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        stream.set_nodelay(true).unwrap();
        let codec = Connection::new(Role::Client, Config { extended_connect: true, ..Config::default() });
        Self { stream, codec, inbox: BytesMut::new(), going_away: false }
    }

    /// Sends requests at once, each with its body, and reads all responses, in the order of the requests.
    pub fn all(&mut self, requests: &[(RequestHead, &[u8])]) -> Vec<Received> {
        let mut ids = Vec::new();
        for (head, body) in requests {
            let Ok(id) = self.codec.send_request(head, body.is_empty()) else {
                return requests.iter().map(|_| Received { reset: true, ..Received::default() }).collect();
            };
            if !body.is_empty() {
                self.codec.send_slice(id, body, true).unwrap();
            }
            ids.push(id);
        }
        write_out(&mut self.stream, &mut self.codec);
        let mut open: HashMap<StreamId, Received> = ids.iter().map(|id| (*id, Received::default())).collect();
        let mut done: HashMap<StreamId, Received> = HashMap::new();
        while done.len() < ids.len() {
            while let Some(event) = self.codec.recv(&mut self.inbox).unwrap() {
                let ended = self.take(&mut open, event);
                if let Some(id) = ended
                    && let Some(received) = open.remove(&id)
                {
                    done.insert(id, received);
                }
            }
            write_out(&mut self.stream, &mut self.codec);
            if done.len() < ids.len() && !self.read() {
                for (id, mut received) in open.drain() {
                    received.reset = true;
                    done.insert(id, received);
                }
            }
        }
        ids.iter().map(|id| done.remove(id).unwrap()).collect()
    }

    fn take(&mut self, open: &mut HashMap<StreamId, Received>, event: Event) -> Option<StreamId> {
        match event {
            Event::Response { stream, end } => {
                let mut head = ResponseHead::default();
                self.codec.take_response(&mut head);
                let r = open.get_mut(&stream)?;
                r.status = head.status;
                r.headers = head.headers;
                end.then_some(stream)
            }
            Event::Data { stream, data, end } => {
                self.codec.release_capacity(stream, data.len());
                open.get_mut(&stream)?.body.extend_from_slice(&data);
                end.then_some(stream)
            }
            Event::Trailers { stream } => {
                let r = open.get_mut(&stream)?;
                self.codec.take_trailers(&mut r.trailers);
                Some(stream)
            }
            Event::Reset { stream, .. } => {
                open.get_mut(&stream)?.reset = true;
                Some(stream)
            }
            Event::GoAway { .. } => {
                self.going_away = true;
                None
            }
            _ => None,
        }
    }

    /// Reads once; `false` at the end.
    fn read(&mut self) -> bool {
        let mut bytes = [0; 16 * 1024];
        let count = self.stream.read(&mut bytes).unwrap_or(0);
        self.inbox.extend_from_slice(&bytes[..count]);
        count > 0
    }

    /// One request without body.
    pub fn get(&mut self, path: &str) -> Received {
        self.all(&[(head(path), b"")]).remove(0)
    }
}

/// A server that answers each request, once it is complete, with what `answer` gives: head, body and trailers.
pub fn backend(
    answer: impl Fn(&RequestHead, &[u8]) -> (ResponseHead, Vec<u8>, HeaderList) + Send + Sync + 'static,
) -> Backend {
    Backend::raw(move |stream| {
        let mut codec = Connection::new(Role::Server, Config::default());
        let mut inbox = BytesMut::new();
        let mut open: HashMap<StreamId, (RequestHead, Vec<u8>)> = HashMap::new();
        loop {
            loop {
                let Ok(Some(event)) = codec.recv(&mut inbox) else { break };
                let ended = match event {
                    Event::Request { stream, end } => {
                        let mut head = RequestHead::default();
                        codec.take_request(&mut head);
                        open.insert(stream, (head, Vec::new()));
                        end.then_some(stream)
                    }
                    Event::Data { stream, data, end } => {
                        codec.release_capacity(stream, data.len());
                        open.get_mut(&stream).unwrap().1.extend_from_slice(&data);
                        end.then_some(stream)
                    }
                    Event::Trailers { stream } => Some(stream),
                    _ => None,
                };
                if let Some(id) = ended {
                    let (request, body) = open.remove(&id).unwrap();
                    let (head, body, trailers) = answer(&request, &body);
                    let bare = body.is_empty() && trailers.is_empty();
                    codec.send_response(id, &head, bare).unwrap();
                    if !body.is_empty() {
                        codec.send_slice(id, &body, trailers.is_empty()).unwrap();
                    }
                    if !trailers.is_empty() {
                        codec.send_trailers(id, &trailers).unwrap();
                    }
                }
            }
            codec.flush();
            while !codec.output().is_empty() {
                let Ok(count) = stream.write(codec.output().chunk()) else { return };
                codec.output().advance(count);
                codec.flush();
            }
            let mut bytes = [0; 16 * 1024];
            match stream.read(&mut bytes) {
                Ok(0) | Err(_) => return,
                Ok(count) => inbox.extend_from_slice(&bytes[..count]),
            }
        }
    })
}
