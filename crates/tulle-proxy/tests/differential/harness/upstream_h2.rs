//! The HTTP/2 side of an upstream.

use std::{
    collections::HashMap,
    io::{Read, Write},
    net::TcpStream,
};

use bytes::{Buf as _, BytesMut};
use tulle_http::{
    HeaderList, Method, RequestHead, ResponseHead,
    h2::{Config, Connection, ErrorCode, Event, Role, StreamId},
};

use super::answer::{Answer, Ending, Seen, Stage};

struct Open {
    /// A stream whose messages are seen one by one: it may last longer than a case.
    stream: Option<Seen>,
    place: usize,
    answer: Answer,
    body: Vec<u8>,
    tunnel: bool,
    /// HEAD: the answer has no body.
    bodiless: bool,
}

pub fn serve(mut stream: TcpStream, template: &Seen, stage: &Stage) {
    let mut codec = Connection::new(Role::Server, Config { extended_connect: true, ..Config::default() });
    let mut inbox = BytesMut::new();
    let mut open: HashMap<StreamId, Open> = HashMap::new();
    loop {
        loop {
            let Ok(Some(event)) = codec.recv(&mut inbox) else { break };
            handle(&mut codec, &mut open, event, template, stage);
        }
        if !write_out(&mut stream, &mut codec) {
            break;
        }
        let mut bytes = [0; 16 * 1024];
        match stream.read(&mut bytes) {
            Ok(0) | Err(_) => break,
            Ok(count) => inbox.extend_from_slice(&bytes[..count]),
        }
    }
    for (_, request) in open {
        stage.complete(request.place, request.body, Vec::new(), false);
    }
}

pub fn write_out(stream: &mut TcpStream, codec: &mut Connection) -> bool {
    codec.flush();
    while !codec.output().is_empty() {
        let Ok(count) = stream.write(codec.output().chunk()) else { return false };
        codec.output().advance(count);
        codec.flush();
    }
    true
}

/// The fields of a list, in order.
pub fn fields(list: &HeaderList) -> Vec<(String, String)> {
    list.iter().map(|h| (super::text(h.name), super::text(h.value))).collect()
}

fn handle(
    codec: &mut Connection,
    open: &mut HashMap<StreamId, Open>,
    event: Event,
    template: &Seen,
    stage: &Stage,
) {
    let ended = match event {
        Event::Request { stream, end } => {
            let mut head = RequestHead::default();
            codec.take_request(&mut head);
            let mut headers = vec![
                (":authority".to_owned(), head.authority.clone()),
                (":scheme".to_owned(), head.scheme.as_str().to_owned()),
            ];
            if !head.protocol.is_empty() {
                headers.push((":protocol".to_owned(), head.protocol.clone()));
            }
            headers.extend(fields(&head.headers));
            let line = format!("{} {} HTTP/2", head.method.as_str(), head.path);
            let seen = Seen { line, headers, ..template.clone() };
            let messages = (seen.upstream == "als").then(|| seen.clone());
            let (place, answer) = match &messages {
                Some(_) => (usize::MAX, stage.answer_of(&seen.upstream)),
                None => stage.arrive(seen),
            };
            let tunnel = answer.ending == Ending::Tunnel;
            let bodiless = head.method == Method::Head;
            open.insert(stream, Open { stream: messages, place, answer, body: Vec::new(), tunnel, bodiless });
            if tunnel {
                stage.lasts(place);
                answer_head(codec, stream, &open[&stream].answer, false);
            }
            if open[&stream].answer.ending == Ending::Hasty
                && let Some(request) = open.remove(&stream)
            {
                stage.complete(place, Vec::new(), Vec::new(), true);
                self::answer(codec, stream, &request, &template.upstream);
                return;
            }
            end.then_some((stream, Vec::new()))
        }
        Event::Data { stream, data, end } => {
            codec.release_capacity(stream, data.len());
            let Some(request) = open.get_mut(&stream) else { return };
            if request.tunnel {
                let _ = codec.send_slice(stream, &data, end);
                return;
            }
            request.body.extend_from_slice(&data);
            while let Some(seen) = &request.stream
                && let Some(message) = first_message(&mut request.body)
            {
                stage.message(Seen { body: message, ..seen.clone() });
            }
            end.then_some((stream, Vec::new()))
        }
        Event::Trailers { stream } => {
            let mut list = HeaderList::new();
            codec.take_trailers(&mut list);
            Some((stream, fields(&list)))
        }
        Event::Reset { stream, .. } => {
            if let Some(request) = open.remove(&stream) {
                stage.complete(request.place, request.body, Vec::new(), false);
            }
            None
        }
        _ => None,
    };
    if let Some((stream, trailers)) = ended
        && let Some(mut request) = open.remove(&stream)
    {
        stage.complete(request.place, std::mem::take(&mut request.body), trailers, true);
        if !request.tunnel {
            answer(codec, stream, &request, &template.upstream);
        }
    }
}

/// Takes the first message of gRPC, with its prefix.
fn first_message(body: &mut Vec<u8>) -> Option<Vec<u8>> {
    let length = body.get(1..5)?.try_into().map(u32::from_be_bytes).ok()? as usize;
    (body.len() >= 5 + length).then(|| body.drain(..5 + length).collect())
}

fn answer_head(codec: &mut Connection, stream: StreamId, answer: &Answer, end: bool) {
    let mut head = ResponseHead::new(answer.status);
    for (name, value) in &answer.headers {
        head.headers.append(name.as_str(), value.as_bytes());
    }
    codec.send_response(stream, &head, end).unwrap();
}

fn answer(codec: &mut Connection, stream: StreamId, request: &Open, name: &str) {
    let answer = &request.answer;
    std::thread::sleep(answer.delay);
    match answer.ending {
        Ending::Reset => return codec.reset(stream, ErrorCode::INTERNAL_ERROR),
        Ending::Refuse => return codec.reset(stream, ErrorCode::REFUSED_STREAM),
        _ => {}
    }
    for status in &answer.informational {
        codec.send_response(stream, &ResponseHead::new(*status), false).unwrap();
    }
    let default = format!("from {name}").into_bytes();
    let body = match answer.status {
        204 | 304 => &[][..],
        _ if request.bodiless => &[][..],
        _ => answer.body.as_ref().unwrap_or(&default),
    };
    let broken = answer.ending == Ending::BreakOff;
    answer_head(codec, stream, answer, body.is_empty() && answer.trailers.is_empty() && !broken);
    if !body.is_empty() {
        codec.send_slice(stream, body, answer.trailers.is_empty() && !broken).unwrap();
    }
    if broken {
        codec.flush();
        codec.reset(stream, ErrorCode::INTERNAL_ERROR);
    } else if !answer.trailers.is_empty() {
        let mut list = HeaderList::new();
        for (name, value) in &answer.trailers {
            list.append(name.as_str(), value.as_bytes());
        }
        codec.send_trailers(stream, &list).unwrap();
    }
}
