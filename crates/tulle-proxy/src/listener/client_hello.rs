//! The two facts of a TLS ClientHello that choose a filter chain: server name and application protocols.
//!
//! Only looks: the bytes are parsed again, in full, by the TLS library. Follows RFC 8446 section 4.1.2 for the message, RFC
//! 6066 section 3 for the name and RFC 7301 section 3.1 for the protocols.

use smallvec::SmallVec;

/// The most that a ClientHello may take, records included; Envoy's `max_client_hello_size` default.
pub(crate) const MAX_HELLO: usize = 16 * 1024;

/// What a ClientHello says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ClientHello {
    /// `server_name`, lower case.
    pub(crate) server_name: Option<String>,
    /// `application_layer_protocol_negotiation`, in the client's order.
    pub(crate) alpn: SmallVec<[Vec<u8>; 2]>,
}

/// What the beginning of a connection is, as far as TLS goes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Look {
    /// Not TLS.
    NotTls,
    /// TLS so far; more bytes are needed to say more.
    More,
    /// A complete ClientHello.
    Hello(ClientHello),
    /// TLS, but not a ClientHello that can be read, or one over [`MAX_HELLO`].
    Broken,
}

/// Looks at the first bytes of a connection.
pub(crate) fn look(bytes: &[u8]) -> Look {
    match bytes {
        [] | [22] | [22, 3] => return Look::More,
        [22, 3, 0..=4, ..] => {}
        _ => return Look::NotTls,
    }
    let mut message = SmallVec::<[u8; 1024]>::new();
    let mut rest = bytes;
    loop {
        if let Some(look) = whole_hello(&message) {
            return look;
        }
        if bytes.len() - rest.len() >= MAX_HELLO || message.len() > MAX_HELLO {
            return Look::Broken;
        }
        let [kind, 3, _, high, low, tail @ ..] = rest else {
            return if rest.len() < 5 && bytes.len() < MAX_HELLO { Look::More } else { Look::Broken };
        };
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        if *kind != 22 || length == 0 || length > MAX_HELLO {
            return Look::Broken;
        }
        if tail.len() < length {
            return if bytes.len() < MAX_HELLO { Look::More } else { Look::Broken };
        }
        message.extend_from_slice(&tail[..length]);
        rest = &tail[length..];
    }
}

/// The verdict on a handshake message once all of it is there.
fn whole_hello(message: &[u8]) -> Option<Look> {
    let [kind, a, b, c, body @ ..] = message else { return None };
    if *kind != 1 {
        return Some(Look::Broken);
    }
    let length = usize::from(*a) << 16 | usize::from(*b) << 8 | usize::from(*c);
    if length > MAX_HELLO {
        return Some(Look::Broken);
    }
    let body = body.get(..length)?;
    Some(parse_hello(&mut Reader(body)).map_or(Look::Broken, Look::Hello))
}

fn parse_hello(reader: &mut Reader<'_>) -> Option<ClientHello> {
    reader.take(2 + 32)?;
    reader.vector8()?;
    reader.vector16()?;
    reader.vector8()?;
    let mut hello = ClientHello::default();
    if reader.0.is_empty() {
        return Some(hello);
    }
    let mut extensions = Reader(reader.vector16()?);
    while !extensions.0.is_empty() {
        let kind = extensions.number16()?;
        let mut content = Reader(extensions.vector16()?);
        match kind {
            0 => hello.server_name = server_name(&mut content)?,
            16 => {
                let mut names = Reader(content.vector16()?);
                while !names.0.is_empty() {
                    hello.alpn.push(names.vector8()?.to_vec());
                }
            }
            _ => {}
        }
    }
    Some(hello)
}

fn server_name(content: &mut Reader<'_>) -> Option<Option<String>> {
    let mut list = Reader(content.vector16()?);
    while !list.0.is_empty() {
        let kind = list.take(1)?[0];
        let name = list.vector16()?;
        if kind == 0 {
            return Some(Some(std::str::from_utf8(name).ok()?.to_ascii_lowercase()));
        }
    }
    Some(None)
}

/// Takes bytes off the front; `None` when there are too few.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (head, tail) = self.0.split_at_checked(count)?;
        self.0 = tail;
        Some(head)
    }

    fn number16(&mut self) -> Option<u16> {
        self.take(2).map(|b| u16::from_be_bytes([b[0], b[1]]))
    }

    fn vector8(&mut self) -> Option<&'a [u8]> {
        let length = self.take(1)?[0];
        self.take(usize::from(length))
    }

    fn vector16(&mut self) -> Option<&'a [u8]> {
        let length = self.number16()?;
        self.take(usize::from(length))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    /// A real ClientHello, as rustls writes it.
    fn hello(name: &str, alpn: &[&[u8]]) -> Vec<u8> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(rustls::RootCertStore::empty())
            .with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|p| p.to_vec()).collect();
        let name = rustls::pki_types::ServerName::try_from(name.to_owned()).unwrap();
        let mut client = rustls::ClientConnection::new(Arc::new(config), name).unwrap();
        let mut bytes = Vec::new();
        client.write_tls(&mut bytes).unwrap();
        bytes
    }

    #[test]
    fn name_and_protocols_are_found_and_every_shorter_part_asks_for_more() {
        let bytes = hello("Shop.Example", &[b"istio", b"h2"]);
        for length in 0..bytes.len() {
            assert_eq!(look(&bytes[..length]), Look::More, "{length}");
        }
        let Look::Hello(hello) = look(&bytes) else { panic!("no hello") };
        assert_eq!(hello.server_name.as_deref(), Some("shop.example"));
        assert_eq!(hello.alpn.as_slice(), [b"istio".to_vec(), b"h2".to_vec()]);
    }

    #[test]
    fn a_hello_in_many_records_is_put_together() {
        let bytes = hello("shop.example", &[]);
        let mut split = Vec::new();
        for part in bytes[5..].chunks(7) {
            split.extend_from_slice(&[22, 3, 1, 0, part.len() as u8]);
            split.extend_from_slice(part);
        }
        let Look::Hello(hello) = look(&split) else { panic!("no hello") };
        assert_eq!(hello.server_name.as_deref(), Some("shop.example"));
    }

    #[test]
    fn other_beginnings_are_told_apart() {
        assert_eq!(look(b"GET / HTTP/1.1"), Look::NotTls);
        assert_eq!(look(&[22, 9]), Look::NotTls);
        assert_eq!(look(&[22, 3, 1, 0, 4, 2, 0, 0, 0]), Look::Broken);
        assert_eq!(look(&[22, 3, 1, 0xff, 0xff]), Look::Broken);
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_get_a_verdict(tail in proptest::collection::vec(0u8.., 0..2000)) {
            let _ = look(&tail);
            let mut record = vec![22, 3, 1];
            record.extend_from_slice(&tail);
            let _ = look(&record);
            let mut bytes = hello("a.b", &[b"h2"]);
            for (at, byte) in tail.iter().enumerate().take(8) {
                let index = (at * 37 + usize::from(*byte)) % bytes.len();
                bytes[index] ^= byte;
            }
            let _ = look(&bytes);
        }
    }
}
