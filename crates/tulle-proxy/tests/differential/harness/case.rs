//! A case: what is sent to which listener, and what upstreams answer.

use std::time::Duration;

use super::answer::Answer;

/// A request, for either version of HTTP.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: String,
    pub target: String,
    pub host: String,
    pub headers: Vec<(String, String)>,
    pub body: Option<Vec<u8>>,
    pub chunked: bool,
    pub trailers: Vec<(String, String)>,
    /// `:protocol` of an extended CONNECT.
    pub protocol: String,
    /// The end of the message is never sent.
    pub unfinished: bool,
}

/// A request of that method for `target` at host `test`.
pub fn request(method: &str, target: &str) -> Request {
    Request {
        method: method.to_owned(),
        target: target.to_owned(),
        host: "test".to_owned(),
        headers: Vec::new(),
        body: None,
        chunked: false,
        trailers: Vec::new(),
        protocol: String::new(),
        unfinished: false,
    }
}

/// A GET.
pub fn get(target: &str) -> Request {
    request("GET", target)
}

/// A POST with a body.
pub fn post(target: &str, body: &str) -> Request {
    request("POST", target).body(body)
}

/// A gRPC request.
pub fn grpc(target: &str) -> Request {
    request("POST", target)
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body("\0\0\0\0\x02hi")
}

impl Request {
    pub fn host(mut self, host: &str) -> Self {
        self.host = host.to_owned();
        self
    }

    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn body(mut self, body: &str) -> Self {
        self.body = Some(body.as_bytes().to_vec());
        self
    }

    pub fn chunked(mut self) -> Self {
        self.chunked = true;
        self
    }

    pub fn trailer(mut self, name: &str, value: &str) -> Self {
        self.chunked = true;
        self.trailers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn protocol(mut self, protocol: &str) -> Self {
        self.protocol = protocol.to_owned();
        self
    }

    pub fn unfinished(mut self) -> Self {
        self.unfinished = true;
        self
    }

    /// As HTTP/1.1.
    pub fn bytes(&self) -> Vec<u8> {
        let mut out =
            format!("{} {} HTTP/1.1\r\nHost: {}\r\n", self.method, self.target, self.host).into_bytes();
        for (name, value) in &self.headers {
            out.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
        }
        let body = self.body.as_deref().unwrap_or_default();
        if self.chunked {
            out.extend_from_slice(b"Transfer-Encoding: chunked\r\n\r\n");
            if !body.is_empty() {
                out.extend_from_slice(format!("{:x}\r\n", body.len()).as_bytes());
                out.extend_from_slice(body);
                out.extend_from_slice(b"\r\n");
            }
            if !self.unfinished {
                out.extend_from_slice(b"0\r\n");
                for (name, value) in &self.trailers {
                    out.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
                }
                out.extend_from_slice(b"\r\n");
            }
        } else {
            if self.body.is_some() {
                let more = usize::from(self.unfinished);
                out.extend_from_slice(format!("Content-Length: {}\r\n", body.len() + more).as_bytes());
            }
            out.extend_from_slice(b"\r\n");
            out.extend_from_slice(body);
        }
        out
    }
}

/// Bytes that a client sends at once on an HTTP/1 connection, and the responses that it then reads.
#[derive(Clone, Debug)]
pub struct Turn {
    pub bytes: Vec<u8>,
    /// The method, which says whether the response has a body.
    pub method: String,
    pub responses: usize,
    /// This many bytes without framing are read after the responses.
    pub raw_reply: usize,
    /// A wait before it.
    pub pause: Duration,
    /// The client ends its direction afterwards.
    pub ends_writing: bool,
}

impl From<&Request> for Turn {
    fn from(request: &Request) -> Self {
        turn(request.bytes(), &request.method)
    }
}

/// These bytes, and one response to that method.
pub fn turn(bytes: impl Into<Vec<u8>>, method: &str) -> Turn {
    Turn {
        bytes: bytes.into(),
        method: method.to_owned(),
        responses: 1,
        raw_reply: 0,
        pause: Duration::ZERO,
        ends_writing: false,
    }
}

impl Turn {
    pub fn responses(mut self, responses: usize) -> Self {
        self.responses = responses;
        self
    }

    pub fn raw_reply(mut self, bytes: usize) -> Self {
        self.raw_reply = bytes;
        self
    }

    pub fn pause(mut self, millis: u64) -> Self {
        self.pause = Duration::from_millis(millis);
        self
    }

    pub fn ends_writing(mut self) -> Self {
        self.ends_writing = true;
        self
    }
}

/// What the client does.
#[derive(Clone, Debug)]
pub enum Talk {
    Http1(Vec<Turn>),
    Http2(Vec<Request>),
    Tcp(Vec<u8>),
}

impl From<Request> for Talk {
    fn from(request: Request) -> Self {
        Self::Http1(vec![Turn::from(&request)])
    }
}

impl From<Vec<Request>> for Talk {
    /// One after the other on one connection.
    fn from(requests: Vec<Request>) -> Self {
        Self::Http1(requests.iter().map(Turn::from).collect())
    }
}

impl From<Turn> for Talk {
    fn from(turn: Turn) -> Self {
        Self::Http1(vec![turn])
    }
}

impl From<Vec<Turn>> for Talk {
    fn from(turns: Vec<Turn>) -> Self {
        Self::Http1(turns)
    }
}

/// Raw bytes and one response.
pub fn raw(bytes: impl Into<Vec<u8>>) -> Talk {
    turn(bytes, "GET").into()
}

/// The same request over HTTP/2.
pub fn h2(request: Request) -> Talk {
    Talk::Http2(vec![request])
}

/// One case of an area.
#[derive(Clone, Debug)]
pub struct Case {
    pub name: String,
    pub listener: String,
    pub talk: Talk,
    pub answers: Vec<Answer>,
    pub named: Vec<(String, Answer)>,
    /// Requests that upstreams must have seen before the case is over.
    pub expected: usize,
    /// Spans that collectors must have got before the case is over.
    pub spans: usize,
    /// Lines of the access log to wait for.
    pub lines: usize,
    /// Only lines that begin so are counted.
    pub counted: &'static str,
    pub from: [u8; 4],
    /// The client speaks IPv6.
    pub v6: bool,
    /// The connection must end.
    pub until_closed: bool,
    /// The case of field names is compared.
    pub cased: bool,
    /// The last health check that each upstream has seen is compared.
    pub checks: bool,
    /// What upstreams see is left to chance.
    pub blind: bool,
    /// How long it took is compared, in halves of a second.
    pub timed: bool,
}

impl Case {
    pub fn new(name: impl Into<String>, listener: &str, talk: impl Into<Talk>) -> Self {
        let talk = talk.into();
        let lines = match &talk {
            Talk::Http1(turns) => turns.iter().map(|t| t.responses).sum(),
            Talk::Http2(requests) => requests.len(),
            Talk::Tcp(_) => 1,
        };
        Self {
            name: name.into(),
            listener: listener.to_owned(),
            talk,
            answers: Vec::new(),
            named: Vec::new(),
            expected: 0,
            spans: 0,
            lines,
            counted: "",
            from: [127, 0, 0, 1],
            v6: false,
            until_closed: false,
            cased: false,
            checks: false,
            blind: false,
            timed: false,
        }
    }

    /// What upstreams answer, request by request; the last answer is given again and again.
    pub fn answers(&mut self, answers: impl Into<Vec<Answer>>) -> &mut Self {
        self.answers = answers.into();
        self
    }

    /// What upstreams answer always.
    pub fn answer(&mut self, answer: Answer) -> &mut Self {
        self.answers(vec![answer])
    }

    /// What one upstream answers, whatever the others do.
    pub fn answer_of(&mut self, upstream: &str, answer: Answer) -> &mut Self {
        self.named.push((upstream.to_owned(), answer));
        self
    }

    /// Upstreams see this many requests, some of them perhaps after the client has its response.
    pub fn seen(&mut self, requests: usize) -> &mut Self {
        self.expected = requests;
        self
    }

    /// Collectors get this many spans, and services this many entries of access logs.
    pub fn spans(&mut self, spans: usize) -> &mut Self {
        self.spans = spans;
        self
    }

    /// The access log gets this many lines (one for each response, if not told).
    pub fn lines(&mut self, lines: usize) -> &mut Self {
        self.lines = lines;
        self
    }

    /// The access log gets this many lines that begin so, and before them as many others as it likes.
    pub fn lines_like(&mut self, start: &'static str, lines: usize) -> &mut Self {
        self.counted = start;
        self.lines(lines)
    }

    /// The client's address.
    pub fn from(&mut self, address: [u8; 4]) -> &mut Self {
        self.from = address;
        self
    }

    /// The client comes from ::1 and goes there.
    pub fn over_v6(&mut self) -> &mut Self {
        self.v6 = true;
        self
    }

    /// The proxy must close the connection after the last response.
    pub fn closes(&mut self) -> &mut Self {
        self.until_closed = true;
        self
    }

    /// The last health check that each upstream has seen is compared too.
    pub fn checks(&mut self) -> &mut Self {
        self.checks = true;
        self
    }

    /// Which upstream sees what is left to chance, and is not compared.
    pub fn blind(&mut self) -> &mut Self {
        self.blind = true;
        self
    }

    /// How long the responses took is compared too, to the next half of a second.
    pub fn timed(&mut self) -> &mut Self {
        self.timed = true;
        self
    }

    /// The case of field names is compared too.
    pub fn cased(&mut self) -> &mut Self {
        self.cased = true;
        self
    }
}
