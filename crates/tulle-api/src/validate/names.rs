//! Names, hosts, addresses: what each may look like. Every function returns a sentence that says what is wrong.

use std::net::IpAddr;

type Checked = Result<(), String>;

/// A label of a DNS name (RFC 1123 section 2.1): lower case letters, digits and hyphens, at most 63.
pub(super) fn dns_label(text: &str) -> Checked {
    let ok = !text.is_empty()
        && text.len() <= 63
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && !text.starts_with('-')
        && !text.ends_with('-');
    ok.then_some(()).ok_or_else(|| {
        format!("{text:?} is not a DNS label (lower case letters, digits and inner hyphens, at most 63 characters)")
    })
}

/// A name that Istio defines itself, of a subset or a port: as [`dns_label`], but in either case.
pub(super) fn label(text: &str) -> Checked {
    dns_label(&text.to_ascii_lowercase()).map_err(|_| {
        format!("{text:?} is not a name (letters, digits and inner hyphens, at most 63 characters)")
    })
}

/// A name of Kubernetes objects: DNS labels joined by dots, at most 253 characters.
pub(super) fn object_name(text: &str) -> Checked {
    let ok = text.len() <= 253 && text.split('.').all(dns_label_any_length);
    ok.then_some(())
        .ok_or_else(|| format!("{text:?} is not a name (lower case letters, digits, inner hyphens and dots, at most 253 characters)"))
}

fn dns_label_any_length(text: &str) -> bool {
    !text.is_empty()
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && !text.starts_with('-')
        && !text.ends_with('-')
}

/// A host label: as [`dns_label`], but in either case.
fn host_label(text: &str) -> bool {
    dns_label(&text.to_ascii_lowercase()).is_ok()
}

/// A host name without wildcard; a trailing dot is allowed, a numeric top level domain is not.
pub(super) fn fqdn(text: &str) -> Checked {
    length(text)?;
    labels(text, text)
}

/// A host name whose first label may be or begin with `*`.
pub(super) fn wildcard_domain(text: &str) -> Checked {
    length(text)?;
    let (first, rest) = text.split_once('.').map_or((text, None), |(f, r)| (f, Some(r)));
    let first_ok = match first.strip_prefix('*') {
        Some(rest) => rest.is_empty() || host_label(rest.trim_start_matches('-')),
        None => host_label(first),
    };
    if !first_ok {
        return Err(format!(
            "{text:?} is not a host name: {first:?} is not a label, nor one with a leading *"
        ));
    }
    rest.map_or(Ok(()), |rest| labels(rest, text))
}

/// As [`wildcard_domain`], but the wildcard stands for whole labels: `*` or `*.example.com`, not `*example.com`.
pub(super) fn whole_wildcard_domain(text: &str) -> Checked {
    if is_partial_wildcard(text) {
        return Err(format!("{text:?}: a wildcard stands for whole labels here, as in *.example.com"));
    }
    wildcard_domain(text)
}

/// Whether the wildcard of a host is only a part of its first label, as in `*-shop.example.com`.
pub(super) fn is_partial_wildcard(text: &str) -> bool {
    text.contains('*') && text != "*" && !text.starts_with("*.")
}

/// The server name that AUTO_PASSTHROUGH gateways route by: `outbound_.PORT_._.HOST` (Istio's name for a cluster in SNI).
pub(super) fn cluster_sni(text: &str) -> Checked {
    let parts: Vec<&str> = text.split('_').collect();
    let good = parts.len() >= 4
        && parts[0] == "outbound"
        && parts[1].trim_matches('.').bytes().any(|b| b.is_ascii_digit())
        && parts[3].bytes().any(|b| b.is_ascii_alphabetic());
    good.then_some(()).ok_or_else(|| format!("{text:?} is not of the form outbound_.PORT_._.HOST"))
}

/// The name of an HTTP header in the narrow form that claims may be copied to: letters, digits, `-` and `_`.
pub(super) fn plain_header_name(name: &str) -> Checked {
    let ok = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
    ok.then_some(()).ok_or_else(|| format!("{name:?} is not a header name of letters, digits, '-' and '_'"))
}

/// An `http` or `https` address with a host, at most 2048 characters.
pub(super) fn web_address(text: &str) -> Checked {
    let wrong = |reason: &str| Err(format!("{text:?} is not an http or https address: {reason}"));
    if text.len() > 2048 {
        return Err(format!("the address has {} characters, at most 2048 are allowed", text.len()));
    }
    let Some(rest) = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")) else {
        return wrong("it begins with neither http:// nor https://");
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host_port = authority.rsplit('@').next().unwrap_or_default();
    let port = match host_port.rsplit_once(':') {
        Some((_, port)) if !port.ends_with(']') => Some(port),
        _ => None,
    };
    let host = host_port.len() - port.map_or(0, |p| p.len() + 1);
    if host == 0 {
        return wrong("it has no host");
    }
    if port.is_some_and(|p| !p.is_empty() && p.parse::<u16>().is_err()) {
        return wrong("its port is not a number from 0 to 65535");
    }
    if text.bytes().any(|b| b <= b' ' || b == 0x7f) {
        return wrong("it has blanks or control characters");
    }
    Ok(())
}

fn length(text: &str) -> Checked {
    match text.len() {
        0 => Err("a host name cannot be empty".into()),
        1..=255 => Ok(()),
        _ => Err(format!(
            "a host name has at most 255 characters; {:?}... has {}",
            &text.chars().take(20).collect::<String>(),
            text.len()
        )),
    }
}

fn labels(part: &str, whole: &str) -> Checked {
    let part = part.strip_suffix('.').unwrap_or(part);
    if let Some(bad) = part.split('.').find(|label| !host_label(label)) {
        let hint = if bad.contains('*') { "; a wildcard may only be at the beginning" } else { "" };
        return Err(format!("{whole:?} is not a host name: {bad:?} is not a label{hint}"));
    }
    let top = part.rsplit('.').next().unwrap_or_default();
    if top.bytes().all(|b| b.is_ascii_digit()) {
        return Err(format!("{whole:?} is not a host name: its last label is a number"));
    }
    Ok(())
}

/// Whether `text` is an IP address.
pub(super) fn is_ip(text: &str) -> bool {
    text.parse::<IpAddr>().is_ok()
}

/// An IP address.
pub(super) fn ip(text: &str) -> Checked {
    if is_ip(text) { Ok(()) } else { Err(format!("{text:?} is not an IP address")) }
}

/// An IP address or a range in CIDR form.
pub(super) fn ip_or_cidr(text: &str) -> Checked {
    let Some((address, bits)) = text.split_once('/') else { return ip(text) };
    let most = match address.parse::<IpAddr>() {
        Ok(IpAddr::V4(_)) => 32,
        Ok(IpAddr::V6(_)) => 128,
        Err(_) => {
            return Err(format!(
                "{text:?} is not a range such as 10.0.0.0/8: {address:?} is not an IP address"
            ));
        }
    };
    match bits.parse::<u8>() {
        Ok(bits) if bits <= most => Ok(()),
        _ => Err(format!(
            "{text:?} is not a range such as 10.0.0.0/8: {bits:?} is not a number from 0 to {most}"
        )),
    }
}

/// What follows `unix://`: an absolute path of a file, or an abstract name that begins with `@`.
pub(super) fn unix_path(path: &str) -> Checked {
    let ok = path.starts_with('@') || (path.starts_with('/') && !path.ends_with('/'));
    if ok { Ok(()) } else { Err(format!("{path:?} is not the absolute path of a socket")) }
}

/// A port number.
pub(super) fn port(number: i64) -> Checked {
    if (1..=65535).contains(&number) {
        return Ok(());
    }
    Err(format!("a port is a number from 1 to 65535, not {number}"))
}

/// A name for a port of a pod (IANA service name): as [`dns_label`], at most 15 characters, with a letter in it.
pub(super) fn port_name(text: &str) -> Checked {
    let ok = dns_label(text).is_ok()
        && text.len() <= 15
        && text.bytes().any(|b| b.is_ascii_lowercase())
        && !text.contains("--");
    ok.then_some(())
        .ok_or_else(|| format!("{text:?} is not a port name (at most 15 lower case letters, digits and hyphens, one letter at least)"))
}

/// The key of a label or annotation: `[PREFIX/]NAME`.
pub(super) fn label_key(key: &str) -> Checked {
    let (prefix, name) = key.split_once('/').map_or((None, key), |(p, n)| (Some(p), n));
    let name_ok = !name.is_empty() && name.len() <= 63 && qualified(name);
    if !name_ok || prefix.is_some_and(|p| object_name(&p.to_ascii_lowercase()).is_err()) {
        return Err(format!(
            "{key:?} is not a label key ([PREFIX/]NAME; the name has at most 63 letters, digits, '-', '_' and '.')"
        ));
    }
    Ok(())
}

/// The value of a label.
pub(super) fn label_value(value: &str) -> Checked {
    if value.is_empty() || (value.len() <= 63 && qualified(value)) {
        return Ok(());
    }
    Err(format!(
        "{value:?} is not a label value (at most 63 letters, digits, '-', '_' and '.', beginning and ending with a letter or digit)"
    ))
}

fn qualified(text: &str) -> bool {
    let inner = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    let ends = |b: Option<&u8>| b.is_some_and(u8::is_ascii_alphanumeric);
    text.bytes().all(inner) && ends(text.as_bytes().first()) && ends(text.as_bytes().last())
}

/// The name of an HTTP header (RFC 9110 section 5.1).
pub(super) fn header_name(name: &str) -> Checked {
    if name.is_empty() {
        return Err("a header name cannot be empty".into());
    }
    let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    if name.bytes().all(token) { Ok(()) } else { Err(format!("{name:?} is not a header name")) }
}

/// The name of a variable of the environment: anything printable without `=`.
pub(super) fn env_name(name: &str) -> Checked {
    let ok = !name.is_empty() && name.bytes().all(|b| (0x20..0x7f).contains(&b) && b != b'=');
    if ok { Ok(()) } else { Err(format!("{name:?} is not the name of a variable")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(check: fn(&str) -> Checked, good: &[&str], bad: &[&str]) {
        for text in good {
            assert_eq!(check(text), Ok(()), "{text}");
        }
        for text in bad {
            assert!(check(text).is_err(), "{text}");
        }
    }

    #[test]
    fn hosts() {
        split(
            wildcard_domain,
            &["a", "*", "*.example.com", "*-x.com", "reviews.default.svc.cluster.local", "A.example.com."],
            &[
                "",
                "a.*.com",
                "a..b",
                "-a.com",
                "a_b.com",
                "1.2.3.4",
                "https://a.com",
                "a/b",
                "a.com:80",
                "**.com",
            ],
        );
        split(fqdn, &["a.b", "localhost"], &["*.a", "a.1", ""]);
        split(whole_wildcard_domain, &["*", "*.a.com", "a.com"], &["*a.com", "*-a.com", "a.*.com"]);
        split(
            cluster_sni,
            &["outbound_.80_._.a.b.svc.cluster.local", "outbound_.80_.v1_.a.b"],
            &["outbound_", "outbound_.80", "outbound_.x_._.a", "outbound_.80_._.", "inbound_.80_._.a"],
        );
        split(
            web_address,
            &["https://a.b/keys", "http://a:8080", "http://[::1]:80/x", "http://u@h/"],
            &["ftp://a", "https://", "https:///x", "http://a:b", "http://a:99999/", "http://a b", "a.b"],
        );
        split(label, &["v1", "V1", "a-b"], &["", "-a", "a_b", "a.b"]);
    }

    #[test]
    fn addresses() {
        split(
            ip_or_cidr,
            &["10.0.0.0/8", "::1/128", "1.2.3.4", "fe80::1"],
            &["10.0.0.0/33", "10.0.0/8", "a/8", "", "1.2.3.4/"],
        );
        split(unix_path, &["/run/a.sock", "@x"], &["", "a", "/run/"]);
    }

    #[test]
    fn labels_and_ports() {
        split(label_key, &["app", "app.kubernetes.io/name", "A_b"], &["", "/a", "a/b/c", "-a", "a b"]);
        split(label_value, &["", "v1.2", "a_b"], &["-", "a b", "ä", &"a".repeat(64)]);
        split(port_name, &["http-web", "p1"], &["", "123", "http-web-too-long", "HTTP", "a--b"]);
        split(header_name, &["x-id", "X_y"], &["", "a b", "a:b", ":path"]);
        split(plain_header_name, &["x-id", "X_y"], &["", "a b", "a!b"]);
    }
}
