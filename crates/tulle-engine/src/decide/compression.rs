//! What is compressed and decompressed, and what becomes of the heads.

use tulle_http::{HeaderList, Known, ResponseHead};

use super::matcher;
use crate::runtime::compression::{
    Compressible, Compressor, ContentTypes, Decompressible, Decompressor, ResponseCompression,
};

/// The encoding.
const GZIP: &str = "gzip";

/// What is known of a message beside its head.
#[derive(Clone, Copy, Debug)]
pub struct Body {
    /// Whether there is none.
    pub is_empty: bool,
    /// Its length, where the head says it.
    pub length: Option<u64>,
}

/// Whether a client takes gzip (`accept-encoding`), as Envoy reads it: the encoding with the highest quality wins, the first one among
/// equals.
pub fn accepts_gzip(accept_encoding: Option<&[u8]>, choose_first: bool) -> bool {
    let Some(text) = accept_encoding.and_then(|value| std::str::from_utf8(value).ok()) else { return false };
    let mut choice = ("identity", 0.0);
    let mut refused = false;
    for token in text.split(',').filter(|token| !token.is_empty()) {
        let (name, parameters) = token.split_once(';').map_or((token, None), |(n, p)| (n, Some(p)));
        let name = name.trim();
        let quality = match parameters.and_then(|p| p.split_once('=')) {
            Some((q, value)) if q.trim().eq_ignore_ascii_case("q") => match value.trim().parse::<f32>() {
                Ok(quality) => quality,
                Err(_) => continue,
            },
            _ => 1.0,
        };
        refused |= quality == 0.0 && name == GZIP;
        let better = quality > choice.1 || (quality == choice.1 && name == GZIP && choose_first);
        if matches!(name, GZIP | "identity" | "*") && better {
            choice = (name, quality);
        }
    }
    !refused && choice.1 > 0.0 && matches!(choice.0, GZIP | "*")
}

/// Whether a request is compressed; if so its head says so afterwards.
pub fn compress_request(filter: &Compressor, headers: &mut HeaderList, body: Body) -> bool {
    let Some(direction) = &filter.request else { return false };
    let compressible = direction.enabled
        && !body.is_empty
        && long_enough(direction, body)
        && type_allowed(&direction.types, headers)
        && !headers.contains(Known::ContentEncoding);
    if compressible {
        headers.remove(Known::ContentLength);
        headers.append(Known::ContentEncoding, GZIP.as_bytes());
    }
    compressible
}

/// Whether a response is compressed for a client that `accepts` it; if so its head says so afterwards. Caches are told that it might have
/// been, too.
pub fn compress_response(filter: &Compressor, head: &mut ResponseHead, body: Body, accepts: bool) -> bool {
    let Compressor { response: direction, options, request: _, level: _ } = filter;
    let headers = &mut head.headers;
    let etag_allowed = !options.disable_on_etag || options.weaken_etag || !headers.contains(Known::Etag);
    let compressible = direction.enabled
        && long_enough(direction, body)
        && type_allowed(&direction.types, headers)
        && !headers.lists(Known::CacheControl, "no-transform")
        && etag_allowed
        && !headers.contains(Known::ContentEncoding)
        && !options.uncompressible.contains(&head.status);
    if !compressible {
        return false;
    }
    let compresses = accepts && !body.is_empty;
    if compresses {
        change_etag(options, headers);
        headers.remove(Known::ContentLength);
        headers.append(Known::ContentEncoding, GZIP.as_bytes());
    }
    vary(headers);
    compresses
}

fn long_enough(direction: &Compressible, body: Body) -> bool {
    body.length.is_none_or(|length| length >= direction.min_length)
}

fn type_allowed(types: &ContentTypes, headers: &HeaderList) -> bool {
    let Some(value) = headers.get(Known::ContentType) else { return true };
    let kind = value.split(|b| *b == b';').next().unwrap_or_default().trim_ascii();
    match types {
        ContentTypes::These(list) => list.iter().any(|one| kind.eq_ignore_ascii_case(one.as_bytes())),
        ContentTypes::Matching(list) => list.iter().any(|one| matcher::string(one, kind)),
    }
}

/// A strong tag names these very bytes: it goes, or becomes weak.
fn change_etag(options: &ResponseCompression, headers: &mut HeaderList) {
    let Some(tag) = headers.get(Known::Etag) else { return };
    if tag.starts_with(b"W/") || tag.starts_with(b"w/") {
        return;
    }
    if options.weaken_etag {
        let weak = [b"W/", tag].concat();
        headers.set(Known::Etag, &weak);
    } else {
        headers.remove(Known::Etag);
    }
}

fn vary(headers: &mut HeaderList) {
    let Some(old) = headers.get(Known::Vary) else {
        headers.append(Known::Vary, b"Accept-Encoding");
        return;
    };
    if !headers.lists(Known::Vary, "accept-encoding") && old != b"*" {
        let joined = [old, b", Accept-Encoding"].concat();
        headers.set(Known::Vary, &joined);
    }
}

/// Tells an upstream that it may compress, where the filter wants that.
pub fn advertise(filter: &Decompressor, headers: &mut HeaderList) {
    if !filter.advertise || !filter.response.enabled {
        return;
    }
    let old = headers.get_str(Known::AcceptEncoding).unwrap_or_default();
    let others = old.split(',').filter(|one| {
        let one = one.trim();
        !one.is_empty() && one != GZIP && !one.starts_with("gzip;q=")
    });
    let all: Vec<&str> = others.chain([GZIP]).collect();
    headers.set(Known::AcceptEncoding, all.join(",").as_bytes());
}

/// Whether a message is decompressed; if so its head no longer says that it is compressed.
pub fn decompress(direction: Decompressible, headers: &mut HeaderList, is_empty: bool) -> bool {
    if is_empty || !direction.enabled {
        return false;
    }
    if !direction.ignore_no_transform && headers.lists(Known::CacheControl, "no-transform") {
        return false;
    }
    // The encoding that was applied last is the last one of the list; Envoy looks at the first one, so only a list of one is sure.
    let Some(encoding) = headers.get(Known::ContentEncoding) else { return false };
    if !encoding.trim_ascii().eq_ignore_ascii_case(GZIP.as_bytes()) {
        return false;
    }
    headers.remove(Known::ContentEncoding);
    headers.remove(Known::ContentLength);
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::matcher::StringMatcher;

    fn compressor(change: impl FnOnce(&mut Compressor)) -> Compressor {
        let types = || ContentTypes::These(vec!["text/html".into()]);
        let mut made = Compressor {
            request: Some(Compressible { enabled: true, min_length: 30, types: types() }),
            response: Compressible { enabled: true, min_length: 30, types: types() },
            options: ResponseCompression::default(),
            level: 6,
        };
        change(&mut made);
        made
    }

    const BODY: Body = Body { is_empty: false, length: Some(240) };

    /// What a response becomes: whether it is compressed, and its fields.
    fn response(filter: &Compressor, status: u16, fields: &[(&str, &str)], body: Body) -> (bool, String) {
        let mut head = ResponseHead::new(status);
        fields.iter().for_each(|(name, value)| assert!(head.headers.append(*name, value.as_bytes())));
        let compressed = compress_response(filter, &mut head, body, true);
        let text =
            head.headers.iter().map(|f| format!("{}: {}", f.name_str(), f.value_str().unwrap_or_default()));
        (compressed, text.collect::<Vec<_>>().join("\n"))
    }

    #[test]
    fn clients_are_understood_as_a_stock_envoy_understands_them() {
        for (accept, want) in [
            ("gzip", true),
            ("gzip;q=0", false),
            ("deflate", false),
            ("*", true),
            ("identity", false),
            ("gzip;q=0.5, identity", false),
            ("gzip;q=0.5, identity;q=0.5", true),
            ("identity, gzip", false),
            ("GZIP", false),
            ("gzip;q=x", false),
            ("", false),
            ("deflate, gzip;q=0.1", true),
            ("*;q=0", false),
            ("gzip, *;q=0", true),
            ("br;q=1, gzip;q=0.8", true),
            ("x-gzip", false),
            ("gzip;q=0, *", false),
        ] {
            assert_eq!(accepts_gzip(Some(accept.as_bytes()), false), want, "{accept:?}");
        }
        assert!(!accepts_gzip(None, true));
        assert!(accepts_gzip(Some(b"identity, gzip"), true));
        assert!(accepts_gzip(Some(b"gzip, identity"), true));
    }

    #[test]
    fn responses_are_compressed_and_say_so() {
        let plain = compressor(|_| {});
        let html = ("content-type", "text/html");
        let done = "content-encoding: gzip\nvary: Accept-Encoding";
        let with = |fields: &[(&str, &str)]| response(&plain, 200, fields, BODY);
        assert_eq!(with(&[]), (true, done.into()));
        assert_eq!(
            with(&[html, ("content-length", "240")]),
            (true, format!("content-type: text/html\n{done}"))
        );
        assert!(with(&[("content-type", "TEXT/HTML;charset=x")]).0);
        assert_eq!(with(&[("content-type", "image/png")]), (false, "content-type: image/png".into()));
        assert_eq!(
            with(&[("cache-control", "private,No-Transform")]).1,
            "cache-control: private,No-Transform"
        );
        assert_eq!(with(&[("content-encoding", "br")]), (false, "content-encoding: br".into()));
        assert_eq!(with(&[("etag", "\"abc\"")]), (true, done.into()));
        assert_eq!(with(&[("etag", "W/\"abc\"")]), (true, format!("etag: W/\"abc\"\n{done}")));
        assert_eq!(with(&[("vary", "Origin")]).1, "vary: Origin, Accept-Encoding\ncontent-encoding: gzip");
        assert_eq!(with(&[("vary", "accept-encoding")]).1, "vary: accept-encoding\ncontent-encoding: gzip");
        let length = |length, is_empty| response(&plain, 200, &[], Body { is_empty, length });
        assert_eq!(length(Some(29), false), (false, String::new()));
        assert!(length(Some(30), false).0 && length(None, false).0);
        assert_eq!(length(Some(240), true), (false, "vary: Accept-Encoding".into()), "a response to HEAD");
    }

    #[test]
    fn options_leave_responses_alone_or_weaken_their_tags() {
        let careful = compressor(|c| {
            c.options.disable_on_etag = true;
            c.options.uncompressible = vec![206];
            c.response.types = ContentTypes::Matching(vec![StringMatcher::Prefix("text/".into())]);
        });
        let text = ("content-type", "text/x");
        assert!(response(&careful, 200, &[text], BODY).0);
        assert!(!response(&careful, 200, &[("content-type", "Text/x")], BODY).0);
        assert!(!response(&careful, 200, &[text, ("etag", "\"abc\"")], BODY).0);
        assert_eq!(response(&careful, 206, &[text], BODY), (false, "content-type: text/x".into()));
        let weak = compressor(|c| {
            c.options.disable_on_etag = true;
            c.options.weaken_etag = true;
        });
        assert!(response(&weak, 200, &[("etag", "\"a\"")], BODY).1.contains("etag: W/\"a\""));
    }

    #[test]
    fn requests_are_compressed_where_that_is_asked_for() {
        let filter = compressor(|_| {});
        let request = |filter: &Compressor, fields: &[(&str, &str)], body| {
            let mut headers: HeaderList = fields.iter().copied().collect();
            let compressed = compress_request(filter, &mut headers, body);
            assert_eq!(compressed, headers.get_str(Known::ContentEncoding) == Some("gzip"));
            compressed
        };
        assert!(request(&filter, &[("content-length", "240")], BODY));
        assert!(!request(&filter, &[], Body { is_empty: false, length: Some(5) }));
        assert!(!request(&filter, &[("content-type", "x/y")], BODY));
        assert!(!request(&filter, &[("content-encoding", "br")], BODY));
        assert!(!request(&filter, &[], Body { is_empty: true, length: None }));
        assert!(!request(&compressor(|c| c.request = None), &[], BODY));
    }

    #[test]
    fn what_is_decompressed_no_longer_says_that_it_is_compressed() {
        let on = Decompressible { enabled: true, ignore_no_transform: false };
        let mut headers: HeaderList =
            [("content-encoding", "gzip"), ("content-length", "9")].into_iter().collect();
        assert!(decompress(on, &mut headers, false));
        assert!(headers.is_empty());
        let mut marked: HeaderList =
            [("content-encoding", "gzip"), ("cache-control", "no-transform")].into_iter().collect();
        assert!(!decompress(on, &mut marked, false));
        assert!(decompress(Decompressible { ignore_no_transform: true, ..on }, &mut marked, false));
        for other in ["br", "gzip, br", "br, gzip"] {
            assert!(
                !decompress(on, &mut [("content-encoding", other)].into_iter().collect(), false),
                "{other}"
            );
        }
    }

    #[test]
    fn upstreams_are_told_once_that_they_may_compress() {
        let on = Decompressible { enabled: true, ignore_no_transform: false };
        let filter = Decompressor { request: on, response: on, advertise: true, max_ratio: 100 };
        for (old, want) in [
            ("", "gzip"),
            ("identity", "identity,gzip"),
            ("gzip", "gzip"),
            ("br, gzip;q=0.3", "br,gzip"),
            ("gzip, br", " br,gzip"),
        ] {
            let mut headers: HeaderList = [("accept-encoding", old)].into_iter().collect();
            advertise(&filter, &mut headers);
            assert_eq!(headers.get_str(Known::AcceptEncoding), Some(want.trim()), "{old:?}");
        }
    }
}
