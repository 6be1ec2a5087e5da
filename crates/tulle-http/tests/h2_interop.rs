//! HTTP/2 against another implementation (the `h2` crate), both ways round, over an in-memory pipe.

use bytes::{Buf, Bytes, BytesMut};
use std::future::Future;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tulle_http::h2::{Config, Connection, ErrorCode, Event, Role, StreamId};
use tulle_http::{HeaderList, Method, RequestHead, ResponseHead, Scheme};

/// What a test does with our connection: called for each event and once before the first.
trait App {
    fn start(&mut self, _conn: &mut Connection) {}
    fn on(&mut self, conn: &mut Connection, event: Event);
    fn writable(&mut self, _conn: &mut Connection, _stream: StreamId) {}
    fn done(&self) -> bool;
}

/// Turns the loop described at [`tulle_http::h2`] until the app is done and everything is written.
async fn drive(mut conn: Connection, mut io: DuplexStream, app: &mut dyn App) {
    let mut input = BytesMut::new();
    app.start(&mut conn);
    loop {
        conn.flush();
        while let Some(stream) = conn.take_writable() {
            app.writable(&mut conn, stream);
            conn.flush();
        }
        if !conn.output().is_empty() {
            if io.write_buf(conn.output()).await.is_err() {
                return;
            }
            continue;
        }
        if app.done() && conn.open_streams() == 0 {
            return;
        }
        if io.read_buf(&mut input).await.expect("read") == 0 {
            return;
        }
        while let Some(event) = conn.recv(&mut input).expect("no connection error") {
            app.on(&mut conn, event);
        }
    }
}

fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("runtime");
    let limit = std::time::Duration::from_secs(20);
    runtime.block_on(async { tokio::time::timeout(limit, test).await.expect("in time") });
}

fn big(len: usize) -> Bytes {
    (0..len).map(|at| (at * 7 % 251) as u8).collect::<Vec<_>>().into()
}

/// Our server: sends back what it gets, with the request's path and a trailer.
#[derive(Default)]
struct Echo {
    served: usize,
    expected: usize,
    bodies: std::collections::HashMap<StreamId, Vec<u8>>,
    heads: std::collections::HashMap<StreamId, RequestHead>,
}

impl Echo {
    fn answer(&mut self, conn: &mut Connection, stream: StreamId) {
        let mut response = ResponseHead::new(200);
        let head = self.heads.remove(&stream).expect("head first");
        response.headers.append("x-path", head.path.as_bytes());
        response.headers.append("Connection", b"close");
        conn.send_response(stream, &response, false).expect("open");
        let body = self.bodies.remove(&stream).unwrap_or_default();
        for piece in Bytes::from(body).chunks(10_000) {
            conn.send_data(stream, Bytes::copy_from_slice(piece), false).expect("open");
        }
        conn.send_trailers(stream, &[("Grpc-Status", "0")].into_iter().collect()).expect("open");
        self.served += 1;
    }
}

impl App for Echo {
    fn on(&mut self, conn: &mut Connection, event: Event) {
        match event {
            Event::Request { stream, end } => {
                conn.take_request(self.heads.entry(stream).or_default());
                if end {
                    self.answer(conn, stream);
                }
            }
            Event::Data { stream, data, end } => {
                conn.release_capacity(stream, data.len());
                self.bodies.entry(stream).or_default().extend_from_slice(&data);
                if end {
                    self.answer(conn, stream);
                }
            }
            Event::Trailers { stream } => self.answer(conn, stream),
            Event::Settings | Event::Reset { .. } | Event::GoAway { .. } => {}
            other => panic!("{other:?}"),
        }
    }

    fn done(&self) -> bool {
        self.served == self.expected
    }
}

async fn read_all(body: &mut h2::RecvStream) -> Vec<u8> {
    let mut all = Vec::new();
    while let Some(piece) = body.data().await {
        let piece = piece.expect("data");
        body.flow_control().release_capacity(piece.len()).expect("release");
        all.extend_from_slice(&piece);
    }
    all
}

async fn write_all(stream: &mut h2::SendStream<Bytes>, mut body: Bytes) {
    while body.has_remaining() {
        stream.reserve_capacity(body.len());
        let allowed =
            std::future::poll_fn(|cx| stream.poll_capacity(cx)).await.expect("open").expect("capacity");
        stream.send_data(body.split_to(allowed.min(body.len())), false).expect("send");
    }
    stream.send_data(Bytes::new(), true).expect("end");
}

fn post(path: &str) -> http::Request<()> {
    http::Request::post(format!("http://a.b:80{path}")).header("x-custom", "v").body(()).expect("request")
}

#[test]
fn their_client_our_server() {
    run(async {
        let (ours, theirs) = tokio::io::duplex(20_000);
        let mut echo = Echo { expected: 30, ..Echo::default() };
        let server = drive(Connection::new(Role::Server, Config::default()), ours, &mut echo);
        let client = async {
            let (send, connection) = h2::client::handshake(theirs).await.expect("handshake");
            let requests = async {
                for size in [0, 1, 5000, 16_384, 70_000, 600_000] {
                    let mut all = Vec::new();
                    for at in 0..5 {
                        let mut send = send.clone().ready().await.expect("ready");
                        all.push(async move {
                            let (response, mut stream) =
                                send.send_request(post(&format!("/{at}?x")), false).expect("send");
                            write_all(&mut stream, big(size)).await;
                            let (head, mut body) = response.await.expect("response").into_parts();
                            assert_eq!(head.status, 200);
                            assert_eq!(head.headers["x-path"], format!("/{at}?x"));
                            assert!(!head.headers.contains_key("connection"));
                            assert!(read_all(&mut body).await == big(size), "body of {size}");
                            let trailers = body.trailers().await.expect("trailers").expect("some");
                            assert_eq!(trailers["grpc-status"], "0");
                        });
                    }
                    let mut all = all.into_iter();
                    let mut next = || all.next().expect("five");
                    tokio::join!(next(), next(), next(), next(), next());
                }
            };
            tokio::select! {
                () = requests => {}
                // It ends when our side is done; what it has read is still to be looked at.
                () = async { connection.await.expect("connection"); std::future::pending().await } => {}
            }
        };
        tokio::join!(server, client);
        assert_eq!(echo.served, 30);
    });
}

/// Our client: several requests at once, checks what comes back.
struct Asker {
    size: usize,
    open: usize,
    answered: usize,
    bodies: std::collections::HashMap<StreamId, Vec<u8>>,
    unsent: std::collections::HashMap<StreamId, Bytes>,
}

impl Asker {
    fn push(&mut self, conn: &mut Connection, stream: StreamId) {
        let Some(rest) = self.unsent.get_mut(&stream) else { return };
        while conn.capacity(stream) > 0 && !rest.is_empty() {
            let piece = rest.split_to(rest.len().min(conn.capacity(stream)));
            let end = rest.is_empty();
            conn.send_data(stream, piece, end).expect("open");
        }
        if rest.is_empty() {
            self.unsent.remove(&stream);
        }
    }
}

impl App for Asker {
    fn start(&mut self, conn: &mut Connection) {
        for at in 0..self.open {
            let head = RequestHead {
                method: Method::Post,
                scheme: Scheme::Http,
                authority: "b".into(),
                path: format!("/{at}"),
                headers: [("X-Name", "Value"), ("Cookie", "a=b"), ("te", "trailers")].into_iter().collect(),
                ..Default::default()
            };
            let stream = conn.send_request(&head, self.size == 0).expect("open");
            if self.size > 0 {
                // Over the high water mark at once: the rest follows as it becomes writable.
                let mut body = big(self.size);
                let first = body.split_to(body.len().min(100_000));
                conn.send_data(stream, first, body.is_empty()).expect("open");
                if !body.is_empty() {
                    self.unsent.insert(stream, body);
                }
            }
        }
    }

    fn writable(&mut self, conn: &mut Connection, stream: StreamId) {
        self.push(conn, stream);
    }

    fn on(&mut self, conn: &mut Connection, event: Event) {
        match event {
            Event::Response { stream, end } => {
                let mut head = ResponseHead::default();
                conn.take_response(&mut head);
                if head.status == 103 {
                    assert!(!end);
                    return;
                }
                assert_eq!((head.status, head.headers.get("x-got")), (201, Some(&b"Value"[..])));
                assert!(!end);
                self.bodies.insert(stream, Vec::new());
            }
            Event::Data { stream, data, end } => {
                conn.release_capacity(stream, data.len());
                let body = self.bodies.get_mut(&stream).expect("head first");
                body.extend_from_slice(&data);
                if end {
                    assert!(*body == big(self.size), "body of {} on {stream}", self.size);
                    self.answered += 1;
                }
            }
            Event::Settings => {}
            other => panic!("{other:?}"),
        }
    }

    fn done(&self) -> bool {
        self.answered == self.open
    }
}

#[test]
fn our_client_their_server() {
    for (size, open) in [(0, 1), (1, 50), (16_385, 20), (1_000_000, 3)] {
        run(async {
            let (ours, theirs) = tokio::io::duplex(20_000);
            let mut asker =
                Asker { size, open, answered: 0, bodies: Default::default(), unsent: Default::default() };
            let client = drive(Connection::new(Role::Client, Config::default()), ours, &mut asker);
            let server = async {
                let mut connection = h2::server::handshake(theirs).await.expect("handshake");
                let local = tokio::task::LocalSet::new();
                let accept = async {
                    while let Some(request) = connection.accept().await {
                        let Ok((request, mut respond)) = request else { return };
                        tokio::task::spawn_local(async move {
                            let (head, mut body) = request.into_parts();
                            assert_eq!(
                                (head.headers["x-name"].as_bytes(), head.headers["te"].as_bytes()),
                                (&b"Value"[..], &b"trailers"[..])
                            );
                            let body = read_all(&mut body).await;
                            let response = http::Response::builder()
                                .status(201)
                                .header("x-got", "Value")
                                .body(())
                                .expect("response");
                            let mut stream = respond.send_response(response, false).expect("send");
                            write_all(&mut stream, body.into()).await;
                        });
                    }
                };
                local.run_until(accept).await;
            };
            tokio::select! {
                () = client => {}
                () = server => {}
            }
            assert_eq!(asker.answered, open, "bodies of {size}");
        });
    }
}

/// Our server resets every stream.
struct Refuser {
    seen: usize,
}

impl App for Refuser {
    fn on(&mut self, conn: &mut Connection, event: Event) {
        if let Event::Request { stream, .. } = event {
            conn.reset(stream, ErrorCode::REFUSED_STREAM);
            conn.shut_down();
            self.seen += 1;
        }
    }

    fn done(&self) -> bool {
        false
    }
}

#[test]
fn resets_and_graceful_shutdown_reach_their_client() {
    run(async {
        let (ours, theirs) = tokio::io::duplex(20_000);
        let mut refuser = Refuser { seen: 0 };
        let server = drive(Connection::new(Role::Server, Config::default()), ours, &mut refuser);
        let client = async {
            let (mut send, connection) = h2::client::handshake(theirs).await.expect("handshake");
            let (response, _) = send.send_request(post("/"), true).expect("send");
            let (result, end) = tokio::join!(response, connection);
            assert_eq!(result.expect_err("reset").reason(), Some(h2::Reason::REFUSED_STREAM));
            assert!(end.is_ok(), "{end:?}");
        };
        tokio::join!(server, client);
        assert_eq!(refuser.seen, 1);
    });
}

#[test]
fn empty_trailers_list_is_fine() {
    let mut conn = Connection::new(Role::Client, Config::default());
    let head = RequestHead { authority: "a".into(), path: "/".into(), ..Default::default() };
    let stream = conn.send_request(&head, false).expect("open");
    conn.send_trailers(stream, &HeaderList::new()).expect("open");
    assert!(conn.send_data(stream, Bytes::new(), true).is_err());
}
