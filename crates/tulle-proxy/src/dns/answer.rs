//! From a question to an answer, without sockets.

use std::net::IpAddr;
use std::str::FromStr;

use hickory_proto::op::{Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA, CNAME};
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};

use super::table::{Found, Names};

/// How long an answer may be kept, in seconds (Istio's agent: 30).
const TTL: u32 = 30;
/// Longest answer by UDP to somebody who did not say otherwise (RFC 1035 section 4.2.1).
const UDP_LIMIT: usize = 512;

/// What becomes of a packet.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// Answered here.
    Answer(Vec<u8>),
    /// Somebody else's to answer.
    Forward(Message),
    /// Not a question; nothing is said.
    Ignore,
}

/// Reads a packet and answers it if it asks for an address of the mesh. `turn` rotates the addresses.
pub(crate) fn answer(names: &Names, packet: &[u8], udp: bool, turn: usize) -> Verdict {
    let Ok(query) = Message::from_vec(packet) else { return Verdict::Ignore };
    if query.metadata.message_type != MessageType::Query {
        return Verdict::Ignore;
    }
    if query.metadata.op_code != OpCode::Query {
        return encode(&refusal(&query, ResponseCode::NotImp), &query, udp);
    }
    let [question] = &query.queries[..] else {
        return encode(&refusal(&query, ResponseCode::FormErr), &query, udp);
    };
    if question.query_class != DNSClass::IN
        || !matches!(question.query_type, RecordType::A | RecordType::AAAA | RecordType::ANY)
    {
        return Verdict::Forward(query);
    }
    match names.lookup(&question.name.to_ascii()) {
        Some(found) => {
            let response = respond(&query, question, &found, turn);
            encode(&response, &query, udp)
        }
        None => Verdict::Forward(query),
    }
}

/// An answer that says no more than `code`.
pub(crate) fn refusal(query: &Message, code: ResponseCode) -> Message {
    let mut response = Message::response(query.metadata.id, query.metadata.op_code);
    response.metadata.recursion_desired = query.metadata.recursion_desired;
    response.metadata.recursion_available = true;
    response.metadata.response_code = code;
    response.add_queries(query.queries.iter().cloned());
    response
}

fn respond(query: &Message, question: &Query, found: &Found, turn: usize) -> Message {
    let mut response = refusal(query, ResponseCode::NoError);
    response.metadata.authoritative = true;
    let (name, addresses) = match found {
        Found::Addresses(addresses) => (question.name.clone(), addresses),
        Found::Alias { target, addresses } => {
            let Ok(target) = Name::from_str(&format!("{target}.")) else { return response };
            let alias = RData::CNAME(CNAME(target.clone()));
            response.add_answer(Record::from_rdata(question.name.clone(), TTL, alias));
            (target, addresses)
        }
    };
    let wanted: Vec<RData> =
        addresses.iter().filter_map(|address| record_data(*address, question.query_type)).collect();
    for i in 0..wanted.len() {
        let data = wanted[(i + turn) % wanted.len()].clone();
        response.add_answer(Record::from_rdata(name.clone(), TTL, data));
    }
    response
}

fn record_data(address: IpAddr, wanted: RecordType) -> Option<RData> {
    match (address, wanted) {
        (IpAddr::V4(v4), RecordType::A | RecordType::ANY) => Some(RData::A(A(v4))),
        (IpAddr::V6(v6), RecordType::AAAA | RecordType::ANY) => Some(RData::AAAA(AAAA(v6))),
        _ => None,
    }
}

/// An answer that is too long for UDP is cut, so that the asker comes again by TCP.
fn encode(response: &Message, query: &Message, udp: bool) -> Verdict {
    let Ok(bytes) = response.to_vec() else { return Verdict::Ignore };
    let limit = usize::from(query.max_payload()).max(UDP_LIMIT);
    if udp && bytes.len() > limit {
        return response.truncate().to_vec().map_or(Verdict::Ignore, Verdict::Answer);
    }
    Verdict::Answer(bytes)
}

#[cfg(test)]
mod tests {
    use tulle_proto::istio::nds::{NameInfo, NameTable};

    use super::*;

    fn names(count: u8) -> Names {
        let ips = (1..=count).map(|i| format!("10.0.0.{i}")).chain(["fd00::1".to_owned()]).collect();
        let info = NameInfo {
            ips,
            registry: "Kubernetes".into(),
            shortname: "cart".into(),
            namespace: "shop".into(),
            alt_hosts: vec![],
        };
        let mut names = Names::new("shop", "cluster.local");
        names.update(
            "cart.shop.svc.cluster.local",
            &NameTable { name_info: Some(info), ..NameTable::default() },
        );
        names
    }

    fn ask(names: &Names, name: &str, kind: RecordType, udp: bool) -> Option<Message> {
        let mut query = Message::query();
        query.add_query(Query::query(Name::from_str(name).unwrap(), kind));
        match answer(names, &query.to_vec().unwrap(), udp, 1) {
            Verdict::Answer(bytes) => Some(Message::from_vec(&bytes).unwrap()),
            Verdict::Forward(_) | Verdict::Ignore => None,
        }
    }

    fn data(message: &Message) -> Vec<String> {
        message.answers.iter().map(|r| format!("{} {}", r.name, r.data)).collect()
    }

    #[test]
    fn addresses_of_the_family_asked_for_in_turn() {
        let got = ask(&names(2), "cart.", RecordType::A, true).unwrap();
        assert_eq!(data(&got), ["cart. 10.0.0.2", "cart. 10.0.0.1"]);
        let got = ask(&names(0), "cart.shop.", RecordType::A, true).unwrap();
        assert_eq!((got.metadata.response_code, got.answers.len()), (ResponseCode::NoError, 0));
        let got = ask(&names(1), "cart.shop.svc.cluster.local.", RecordType::AAAA, true).unwrap();
        assert_eq!(data(&got), ["cart.shop.svc.cluster.local. fd00::1"]);
    }

    #[test]
    fn search_domains_become_aliases() {
        let got =
            ask(&names(1), "cart.shop.svc.cluster.local.svc.cluster.local.", RecordType::A, true).unwrap();
        assert_eq!(
            data(&got),
            [
                "cart.shop.svc.cluster.local.svc.cluster.local. cart.shop.svc.cluster.local.",
                "cart.shop.svc.cluster.local. 10.0.0.1"
            ]
        );
    }

    #[test]
    fn strangers_and_other_types_are_forwarded() {
        assert!(ask(&names(1), "example.org.", RecordType::A, true).is_none());
        assert!(ask(&names(1), "cart.", RecordType::TXT, true).is_none());
    }

    #[test]
    fn long_answers_are_cut_by_udp_only() {
        let got = ask(&names(100), "cart.", RecordType::A, true).unwrap();
        assert!(got.metadata.truncation);
        assert_eq!(ask(&names(100), "cart.", RecordType::A, false).unwrap().answers.len(), 100);
    }

    proptest::proptest! {
        #[test]
        fn no_packet_is_too_strange(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200)) {
            let _ = answer(&names(1), &bytes, true, 0);
        }
    }
}
