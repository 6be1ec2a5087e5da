//! Hashes of requests, for balancers that send like requests to the same endpoint.

use std::net::IpAddr;

use tulle_http::RequestHead;

use super::matcher::{HeaderView, cookie_value, query_value};
use super::rewrite::substitute;
use crate::runtime::route::{HashPolicy, HashSource};

/// The hash of a request, and the cookie that is to be set so that the next request has the same.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestHash {
    /// The hash; `None` if no policy made one (any endpoint may be asked).
    pub hash: Option<u64>,
    /// A `set-cookie` value for the response, if a policy makes cookies and the request had none.
    pub set_cookie: Option<String>,
}

/// Hashes a request by the policies of its route. `random` makes the value of a new cookie.
pub fn request_hash(
    policies: &[HashPolicy],
    head: &RequestHead,
    client: IpAddr,
    random: &mut dyn FnMut() -> u64,
) -> RequestHash {
    let mut out = RequestHash::default();
    for policy in policies {
        let found = match &policy.source {
            HashSource::Header(key, rewrite) => header(head, key, rewrite.as_ref()),
            HashSource::SourceIp => Some(xxh64(client.to_canonical().to_string().as_bytes(), 0)),
            HashSource::Query(name) => {
                query_value(head.query(), name).map(|value| xxh64(value.as_bytes(), 0))
            }
            HashSource::Cookie { name, path, ttl, attributes } => match cookie_value(head, name) {
                Some(value) => Some(xxh64(value, 0)),
                None => ttl.map(|ttl| {
                    let value = format!("{:016x}", random());
                    let mut cookie = format!("{name}=\"{value}\"");
                    if !ttl.is_zero() {
                        cookie.push_str(&format!("; Max-Age={}", ttl.as_secs()));
                    }
                    if !path.is_empty() {
                        cookie.push_str(&format!("; Path={path}"));
                    }
                    for (attribute, value) in attributes {
                        let equals = if value.is_empty() { "" } else { "=" };
                        cookie.push_str(&format!("; {attribute}{equals}{value}"));
                    }
                    cookie.push_str("; HttpOnly");
                    out.set_cookie = Some(cookie);
                    xxh64(value.as_bytes(), 0)
                }),
            },
        };
        if let Some(new) = found {
            // As Envoy joins them: earlier hashes are turned by one bit.
            out.hash = Some(out.hash.map_or(new, |old| old.rotate_left(1) ^ new));
        }
        if policy.terminal && out.hash.is_some() {
            break;
        }
    }
    out
}

fn header(
    head: &RequestHead,
    key: &crate::runtime::matcher::HeaderKey,
    rewrite: Option<&crate::runtime::matcher::RegexSubstitution>,
) -> Option<u64> {
    let mut lines: Vec<Vec<u8>> = Vec::new();
    head.any(key, &mut |line| {
        lines.push(line.to_vec());
        false
    });
    if lines.is_empty() {
        return None;
    }
    if let Some(rewrite) = rewrite {
        for line in &mut lines {
            if let Ok(text) = std::str::from_utf8(line) {
                *line = substitute(rewrite, text).into_owned().into_bytes();
            }
        }
    }
    lines.sort();
    // Each line's hash is the seed of the next one's, as Envoy's.
    Some(lines.iter().fold(0, |seed, line| xxh64(line, seed)))
}

const P1: u64 = 0x9E37_79B1_85EB_CA87;
const P2: u64 = 0xC2B2_AE3D_27D4_EB4F;
const P3: u64 = 0x1656_67B1_9E37_79F9;
const P4: u64 = 0x85EB_CA77_C2B2_AE63;
const P5: u64 = 0x27D4_EB2F_1656_67C5;

/// The 64 bit MurmurHash 2 (MurmurHash64A by Austin Appleby) with the seed of libstdc++'s `std::hash`.
pub fn murmur2(data: &[u8]) -> u64 {
    const SEED: u64 = 0xc70f_6907;
    const MULTIPLIER: u64 = 0xc6a4_a793_5bd1_e995;
    let mix = |value: u64| value ^ (value >> 47);
    let mut hash = SEED ^ (data.len() as u64).wrapping_mul(MULTIPLIER);
    let (words, rest) = data.as_chunks::<8>();
    for word in words {
        let word = mix(u64::from_le_bytes(*word).wrapping_mul(MULTIPLIER)).wrapping_mul(MULTIPLIER);
        hash = (hash ^ word).wrapping_mul(MULTIPLIER);
    }
    if !rest.is_empty() {
        let last = rest.iter().rev().fold(0, |all, byte| all << 8 | u64::from(*byte));
        hash = (hash ^ last).wrapping_mul(MULTIPLIER);
    }
    mix(mix(hash).wrapping_mul(MULTIPLIER))
}

/// XXH64, as the specification of xxHash describes it: stable over versions, machines and implementations.
pub fn xxh64(data: &[u8], seed: u64) -> u64 {
    let round =
        |acc: u64, lane: u64| acc.wrapping_add(lane.wrapping_mul(P2)).rotate_left(31).wrapping_mul(P1);
    let (mut rest, mut hash) = (data, 0);
    if data.len() >= 32 {
        let mut lanes =
            [seed.wrapping_add(P1).wrapping_add(P2), seed.wrapping_add(P2), seed, seed.wrapping_sub(P1)];
        while rest.len() >= 32 {
            for (lane, chunk) in lanes.iter_mut().zip(rest.chunks_exact(8)) {
                *lane = round(*lane, little_endian(chunk));
            }
            rest = &rest[32..];
        }
        for (lane, turn) in lanes.iter().zip([1, 7, 12, 18]) {
            hash = lane.rotate_left(turn).wrapping_add(hash);
        }
        for lane in lanes {
            hash = (hash ^ round(0, lane)).wrapping_mul(P1).wrapping_add(P4);
        }
    } else {
        hash = seed.wrapping_add(P5);
    }
    hash = hash.wrapping_add(data.len() as u64);
    let mut eights = rest.chunks_exact(8);
    for chunk in &mut eights {
        hash = (hash ^ round(0, little_endian(chunk))).rotate_left(27).wrapping_mul(P1).wrapping_add(P4);
    }
    let mut rest = eights.remainder();
    if rest.len() >= 4 {
        hash = (hash ^ little_endian(&rest[..4]).wrapping_mul(P1))
            .rotate_left(23)
            .wrapping_mul(P2)
            .wrapping_add(P3);
        rest = &rest[4..];
    }
    for byte in rest {
        hash = (hash ^ u64::from(*byte).wrapping_mul(P5)).rotate_left(11).wrapping_mul(P1);
    }
    hash = (hash ^ (hash >> 33)).wrapping_mul(P2);
    hash = (hash ^ (hash >> 29)).wrapping_mul(P3);
    hash ^ (hash >> 32)
}

fn little_endian(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::matcher::HeaderKey;

    /// Vectors of the xxHash specification's reference program.
    /// As libstdc++ hashes them.
    #[test]
    fn murmur2_vectors() {
        for (text, want) in [
            ("", 0x553e_9390_1e46_2a6e),
            ("a", 0x454d_dee4_88c1_ed6b),
            ("abc", 0x32d8_2bf8_ed3d_ba39),
            ("12345678", 0x8c5b_90a3_3a04_dca5),
            ("10.0.0.1:80_0", 0xbd8f_6461_ecff_b28c),
            ("The quick brown fox jumps over the lazy dog", 0xdccb_f254_1704_bc75),
        ] {
            assert_eq!(murmur2(text.as_bytes()), want, "{text}");
        }
    }

    #[test]
    fn xxh64_vectors() {
        for (text, seed, want) in [
            ("", 0, 0xef46_db37_51d8_e999),
            ("a", 0, 0xd24e_c4f1_a98c_6e5b),
            ("abc", 0, 0x44bc_2cf5_ad77_0999),
            ("The quick brown fox jumps over the lazy dog", 0, 0x0b24_2d36_1fda_71bc),
        ] {
            assert_eq!(xxh64(text.as_bytes(), seed), want, "{text}");
        }
    }

    fn policy(source: HashSource, terminal: bool) -> HashPolicy {
        HashPolicy { source, terminal }
    }

    #[test]
    fn policies_are_joined_until_a_terminal_one() {
        let head = RequestHead {
            path: "/?user=ann".into(),
            headers: [("x-user", "ann"), ("cookie", "s=1")].into_iter().collect(),
            ..Default::default()
        };
        let client = "10.0.0.1".parse().unwrap();
        let run = |policies: &[HashPolicy]| request_hash(policies, &head, client, &mut || 7).hash;
        let user = || HashSource::Header(HeaderKey::new("x-user").unwrap(), None);
        let ann = xxh64(b"ann", 0);
        assert_eq!(run(&[policy(user(), false)]), Some(ann));
        assert_eq!(run(&[policy(HashSource::Query("user".into()), false)]), Some(ann));
        let both = [policy(user(), false), policy(HashSource::SourceIp, false)];
        assert_eq!(run(&both), Some(ann.rotate_left(1) ^ xxh64(b"10.0.0.1", 0)));
        let first = [policy(user(), true), policy(HashSource::SourceIp, false)];
        assert_eq!(run(&first), Some(ann));
        assert_eq!(run(&[policy(HashSource::Query("none".into()), false)]), None);
    }

    #[test]
    fn a_missing_cookie_is_made_once() {
        let source = HashSource::Cookie {
            name: "s".into(),
            path: "/".into(),
            ttl: Some(std::time::Duration::from_secs(60)),
            attributes: vec![("Secure".into(), "".into())],
        };
        let policies = [policy(source, false)];
        let client = "10.0.0.1".parse().unwrap();
        let first = request_hash(&policies, &RequestHead::default(), client, &mut || 0xab);
        let cookie = "s=\"00000000000000ab\"; Max-Age=60; Path=/; Secure; HttpOnly";
        assert_eq!(first.set_cookie.as_deref(), Some(cookie));
        let again = RequestHead {
            headers: [("cookie", "s=00000000000000ab")].into_iter().collect(),
            ..Default::default()
        };
        let second = request_hash(&policies, &again, client, &mut || 0);
        assert_eq!((second.hash, second.set_cookie), (first.hash, None));
    }
}
